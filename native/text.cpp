#include "text.hpp"

namespace pixels {
namespace {

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
  using namespace detail;
  // A high bit is set if there is such a byte at or below its place; bytes from 0x80 up never count.
  const auto below = [](std::uint64_t word, std::uint8_t limit) { return (word - kOnes * limit) & ~word & kHighBits; };
  const auto equal = [&below](std::uint64_t word, std::uint8_t byte) { return below(word ^ kOnes * byte, 1); };
  std::uint64_t high = 0, controls = 0, quotes = 0, backslashes = 0;
  for_each_word(text, [&](std::uint64_t word) {
    high |= word & kHighBits;
    controls |= below(word, 0x20);
    quotes |= equal(word, '"');
    backslashes |= equal(word, '\\');
  });
  const auto flag = [](std::uint64_t bits, unsigned trait) { return bits != 0 ? trait : 0u; };
  return flag(high, kHasHighBytes) | flag(controls, kHasControls) | flag(quotes, kHasQuotes) |
         flag(backslashes, kHasBackslashes);
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
