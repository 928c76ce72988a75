// Text: what bytes it holds, what is padding, and how the character sets of DICOM become UTF-8 (PS3.5 section 6.1).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace pixels {

// What a text holds besides plain printable ASCII.
enum TextTraits : unsigned {
  kHasHighBytes = 1,   // 0x80 and above
  kHasControls = 2,    // below 0x20, the escape of ISO 2022 among them
  kHasQuotes = 4,      // double quotes
  kHasBackslashes = 8  // the delimiter of values
};

unsigned classify(std::string_view text);

inline bool needs_escape(unsigned traits) { return (traits & (kHasControls | kHasQuotes | kHasBackslashes)) != 0; }

// Which characters are padding.
enum class Padding : std::uint8_t {
  none,
  trailing,        // spaces and NULs at the end
  trailing_space,  // any white space at the end
  space_around,    // any white space at both ends
  around           // any white space and NULs at both ends
};

std::string_view trim(std::string_view text, Padding padding);

// Removes the first value, up to a backslash or `delimiter`, from `rest` and returns it; `more` tells if one follows.
std::string_view next_value(std::string_view& rest, bool& more, char delimiter = '\\');

// How a Specific Character Set (0008,0005) is decoded where no escape sequence occurs.
struct Charset {
  enum class Kind : std::uint8_t {
    single_byte,  // bytes from 0x80 by `table`
    utf8,
    multi_byte,  // ASCII is ASCII; the rest by the hook
    other        // everything by the hook
  };

  Kind kind = Kind::single_byte;
  std::array<std::uint16_t, 128> table{};  // 0 where the character set has no character
  std::string name;                        // the value of Specific Character Set
};

// ISO IR 100, which also stands in where none is given.
const Charset& default_charset();

bool is_utf8(std::string_view text);

// Appends to `out`; false if the table has no character for a byte.
bool decode_single_byte(std::string_view text, const Charset& charset, std::string& out);

}  // namespace pixels
