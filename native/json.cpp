#include "json.hpp"

#include <array>

namespace pixels {
namespace {

constexpr char kBase64Digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Two base64 digits for each twelve bits.
constexpr auto kBase64Pairs = [] {
  std::array<std::array<char, 2>, 4096> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kBase64Digits[i >> 6], kBase64Digits[i & 63]};
  return pairs;
}();

// Writes four digits for the highest three of the four bytes in `bits`.
void write_base64(char* out, std::uint32_t bits) {
  std::memcpy(out, kBase64Pairs[bits >> 20].data(), 2);
  std::memcpy(out + 2, kBase64Pairs[bits >> 8 & 4095].data(), 2);
}

}  // namespace

void JsonBuffer::string(std::string_view text) {
  if (is_plain(text)) return plain_string(text);
  reserve(text.size() * 6 + 2);  // a control character becomes \u001F
  char* out = out_;
  *out++ = '"';
  for (const char character : text) {
    const auto byte = static_cast<std::uint8_t>(character);
    if (byte >= 0x20 && byte != '"' && byte != '\\') {
      *out++ = character;
      continue;
    }
    *out++ = '\\';
    switch (character) {
      case '"': case '\\': *out++ = character; break;
      case '\n': *out++ = 'n'; break;
      case '\r': *out++ = 'r'; break;
      case '\t': *out++ = 't'; break;
      default:
        std::memcpy(out, "u00", 3);
        std::memcpy(out + 3, detail::kHexPairs[byte].data(), 2);
        out += 5;
    }
  }
  *out++ = '"';
  out_ = out;
}

void JsonBuffer::base64(std::span<const std::uint8_t> bytes) {
  reserve((bytes.size() + 2) / 3 * 4);
  char* out = out_;
  const std::uint8_t* in = bytes.data();
  const std::uint8_t* const end = in + bytes.size();
  const auto byte = [&in](std::size_t i) { return static_cast<std::uint32_t>(in[i]); };
  for (; end - in >= 6; in += 6, out += 8) {
    write_base64(out, byte(0) << 24 | byte(1) << 16 | byte(2) << 8);
    write_base64(out + 4, byte(3) << 24 | byte(4) << 16 | byte(5) << 8);
  }
  for (; in < end; in += 3, out += 4) {
    const std::ptrdiff_t left = end - in;
    write_base64(out, byte(0) << 24 | (left > 1 ? byte(1) << 16 : 0) | (left > 2 ? byte(2) << 8 : 0));
    if (left < 3) out[3] = '=';
    if (left < 2) out[2] = '=';
  }
  out_ = out;
}

}  // namespace pixels
