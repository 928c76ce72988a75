#include "text.hpp"

#include <cstring>

namespace pixels {
namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101;
constexpr std::uint64_t kHighBits = 0x8080808080808080;

// Eight bytes at a time: the high bit of a byte in the result is set if there is a byte below `limit` (or equal to
// `byte`) at or below its place. Bytes from 0x80 up never count.
constexpr std::uint64_t below(std::uint64_t word, std::uint8_t limit) {
  return (word - kOnes * limit) & ~word & kHighBits;
}
constexpr std::uint64_t equal(std::uint64_t word, std::uint8_t byte) { return below(word ^ kOnes * byte, 1); }

struct Found {
  std::uint64_t high = 0, controls = 0, quotes = 0, backslashes = 0;

  void look_at(std::uint64_t word) {
    high |= word & kHighBits;
    controls |= below(word, 0x20);
    quotes |= equal(word, '"');
    backslashes |= equal(word, '\\');
  }
};

std::uint64_t load(const char* bytes) {
  std::uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}

bool is_space(char character) {
  const auto byte = static_cast<std::uint8_t>(character);
  return byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 0x1C && byte <= 0x1F);
}

void append_utf8(std::string& out, unsigned code_point) {
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xC0 | code_point >> 6);
    out += static_cast<char>(0x80 | (code_point & 63));
  } else {
    out += static_cast<char>(0xE0 | code_point >> 12);
    out += static_cast<char>(0x80 | (code_point >> 6 & 63));
    out += static_cast<char>(0x80 | (code_point & 63));
  }
}

}  // namespace

unsigned classify(std::string_view text) {
  Found found;
  const char* bytes = text.data();
  std::size_t left = text.size();
  if (left >= 8) {
    for (; left > 8; bytes += 8, left -= 8) found.look_at(load(bytes));
    found.look_at(load(bytes + left - 8));  // may look at some bytes twice
  } else if (left > 0) {
    std::uint64_t word = kOnes * ' ';
    std::memcpy(&word, bytes, left);
    found.look_at(word);
  }
  const auto flag = [](std::uint64_t word, unsigned trait) { return word != 0 ? trait : 0u; };
  return flag(found.high, kHasHighBytes) | flag(found.controls, kHasControls) | flag(found.quotes, kHasQuotes) |
         flag(found.backslashes, kHasBackslashes);
}

std::string_view trim(std::string_view text, Padding padding) {
  const bool spaces = padding != Padding::trailing, nuls = padding == Padding::trailing || padding == Padding::around;
  const auto is_padding = [&](char character) {
    return spaces ? is_space(character) || (nuls && character == 0) : character == ' ' || character == 0;
  };
  if (padding == Padding::none) return text;
  while (!text.empty() && is_padding(text.back())) text.remove_suffix(1);
  if (padding == Padding::space_around || padding == Padding::around) {
    while (!text.empty() && is_padding(text.front())) text.remove_prefix(1);
  }
  return text;
}

std::string_view next_value(std::string_view& rest, bool& more, char delimiter) {
  const std::size_t end = rest.find(delimiter);
  more = end != std::string_view::npos;
  const std::string_view value = rest.substr(0, end);
  rest.remove_prefix(more ? end + 1 : rest.size());
  return value;
}

const Charset& default_charset() {
  static const Charset latin = [] {
    Charset charset;
    for (std::uint16_t i = 0; i < 128; ++i) charset.table[i] = 128 + i;
    return charset;
  }();
  return latin;
}

bool is_utf8(std::string_view text) {
  const auto* byte = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto* const end = byte + text.size();
  while (byte < end) {
    const std::uint8_t lead = *byte++;
    if (lead < 0x80) continue;
    const int following = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || end - byte < following) return false;
    // Overlong forms, surrogates and numbers beyond Unicode show in the second byte.
    const std::uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const std::uint8_t most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (*byte < least || *byte > most) return false;
    for (int i = 1; i < following; ++i) {
      if ((byte[i] & 0xC0) != 0x80) return false;
    }
    byte += following;
  }
  return true;
}

bool decode_single_byte(std::string_view text, const Charset& charset, std::string& out) {
  for (const char character : text) {
    const auto byte = static_cast<std::uint8_t>(character);
    const unsigned code_point = byte < 0x80 ? byte : charset.table[byte - 0x80];
    if (code_point == 0 && byte != 0) return false;
    append_utf8(out, code_point);
  }
  return true;
}

}  // namespace pixels
