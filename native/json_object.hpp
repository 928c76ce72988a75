// Putting the attributes of a JSON object in order (PS3.18 F.2.2), where those of the data set were not.
#pragma once

#include <cstdint>
#include <vector>

#include "json.hpp"

namespace pixels {

// Sorts the attributes that are written from `begin` on. Of attributes with the same tag only the last stays; returns
// the tags of the others.
std::vector<std::uint32_t> sort_attributes(JsonBuffer& json, std::size_t begin);

}  // namespace pixels
