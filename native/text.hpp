// Text: what bytes it holds, what is padding, and how the character sets of DICOM become UTF-8 (PS3.5 section 6.1).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace pixels {

inline std::string_view as_text(const std::uint8_t* bytes, std::size_t length) {
  return {reinterpret_cast<const char*>(bytes), length};
}

// What a text holds besides plain printable ASCII.
enum TextTraits : unsigned {
  kHasHighBytes = 1,   // 0x80 and above
  kHasControls = 2,    // below 0x20, the escape of ISO 2022 among them
  kHasQuotes = 4,      // double quotes
  kHasBackslashes = 8  // the delimiter of values
};

namespace detail {

inline constexpr std::uint64_t kOnes = 0x0101010101010101;
inline constexpr std::uint64_t kHighBits = 0x8080808080808080;

// Calls `look` with all bytes of the text, eight at a time; some may be looked at twice, and spaces may be added.
template <typename Look>
void for_each_word(std::string_view text, Look look) {
  const char* bytes = text.data();
  const std::size_t size = text.size();
  const auto load = [bytes]<typename Word>(std::size_t at, Word word) {
    std::memcpy(&word, bytes + at, sizeof word);
    return word;
  };
  if (size >= 8) {
    look(load(0, std::uint64_t{}));
    for (std::size_t at = 8; at + 8 < size; at += 8) look(load(at, std::uint64_t{}));
    look(load(size - 8, std::uint64_t{}));
  } else if (size >= 4) {
    look(std::uint64_t{load(0, std::uint32_t{})} << 32 | load(size - 4, std::uint32_t{}));
  } else if (size > 0) {
    const auto byte = [bytes](std::size_t at) { return std::uint64_t{static_cast<std::uint8_t>(bytes[at])}; };
    look((kOnes * ' ' >> 24 << 24) | byte(0) << 16 | byte(size / 2) << 8 | byte(size - 1));
  }
}

// Has a high bit set if one of the eight bytes is no plain printable ASCII.
inline std::uint64_t special_bits(std::uint64_t word) {
  return (word | (word - kOnes * ' ') | ((word ^ kOnes * '"') - kOnes) | ((word ^ kOnes * '\\') - kOnes)) & kHighBits;
}

}  // namespace detail

// Whether a text has none of the traits, as most have none.
inline bool is_plain(std::string_view text) {
  std::uint64_t special = 0;
  detail::for_each_word(text, [&special](std::uint64_t word) { special |= detail::special_bits(word); });
  return special == 0;
}

unsigned classify(std::string_view text);

// Which characters are padding.
enum class Padding : std::uint8_t {
  none,
  trailing,        // spaces and NULs at the end
  trailing_space,  // any white space at the end
  space_around,    // any white space at both ends
  around           // any white space and NULs at both ends
};

inline std::string_view trim(std::string_view text, Padding padding) {
  const auto is_space = [](char character) {
    const auto byte = static_cast<std::uint8_t>(character);
    return byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 0x1C && byte <= 0x1F);
  };
  const auto is_padding = [&](char character) {
    switch (padding) {
      case Padding::none: return false;
      case Padding::trailing: return character == ' ' || character == 0;
      case Padding::around: return is_space(character) || character == 0;
      default: return is_space(character);
    }
  };
  while (!text.empty() && is_padding(text.back())) text.remove_suffix(1);
  if (padding == Padding::space_around || padding == Padding::around) {
    while (!text.empty() && is_padding(text.front())) text.remove_prefix(1);
  }
  return text;
}

// Removes the first value, up to a backslash or `delimiter`, from `rest` and returns it; `more` tells if one follows.
inline std::string_view next_value(std::string_view& rest, bool& more, char delimiter = '\\') {
  const std::size_t end = rest.find(delimiter);
  more = end != std::string_view::npos;
  const std::string_view value = rest.substr(0, end);
  rest.remove_prefix(more ? end + 1 : rest.size());
  return value;
}

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
  bool is_known = true;                    // else the default stands in
};

// ISO IR 100, which also stands in where none is given.
const Charset& default_charset();

bool is_utf8(std::string_view text);

// Appends to `out`; false if the table has no character for a byte.
bool decode_single_byte(std::string_view text, const Charset& charset, std::string& out);

}  // namespace pixels
