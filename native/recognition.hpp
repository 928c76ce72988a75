// Telling DICOM objects from everything else.
#pragma once

#include <cstdint>
#include <optional>

#include "dictionary.hpp"
#include "source.hpp"

namespace pixels {

// Where the first data element of a DICOM object lies; nothing if the object is no DICOM.
//
// After the preamble and "DICM" anything is taken for DICOM (PS3.10 section 7.1). Objects without them are accepted
// only if their first elements are known attributes in order, so that neither text nor pictures nor noise pass.
std::optional<std::uint64_t> find_first_element(Source& source, const Dictionary& dictionary);

}  // namespace pixels
