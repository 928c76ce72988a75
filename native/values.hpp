// Values of data elements as DICOM JSON (PS3.18 Annex F), by their value representation.
#pragma once

#include <cstdint>
#include <string_view>

#include "byte_order.hpp"
#include "json.hpp"
#include "vr.hpp"

namespace pixels {

// Each writer appends `,"Value":[...]`, or nothing for an empty value, and returns what was wrong, or nullptr.
// A value that cannot be written is left out as a whole.

// Text of any VR but PN, in UTF-8. The first does nothing and returns false unless it is one plain value;
// the second wants to know the text's traits.
bool write_plain_text(JsonBuffer& json, Vr vr, std::string_view text);
void write_text(JsonBuffer& json, Vr vr, std::string_view text, unsigned traits);
void write_person_names(JsonBuffer& json, std::string_view text);
const char* write_decimals(JsonBuffer& json, std::string_view text);
const char* write_integers(JsonBuffer& json, std::string_view text);

// Numbers of the binary VRs.
const char* write_numbers(JsonBuffer& json, std::uint32_t tag, Vr vr, const std::uint8_t* bytes, std::size_t length,
                          ByteOrder order);
const char* write_tags(JsonBuffer& json, const std::uint8_t* bytes, std::size_t length, ByteOrder order);

}  // namespace pixels
