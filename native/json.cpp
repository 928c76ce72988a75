#include "json.hpp"

#include <algorithm>
#include <array>

#include "text.hpp"

namespace pixels {
namespace {

constexpr char kHexDigits[] = "0123456789ABCDEF";
constexpr char kBase64Digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct TwoCharacters {
  char characters[2];
};

constexpr auto kHexPairs = [] {
  std::array<TwoCharacters, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {{kHexDigits[i >> 4], kHexDigits[i & 15]}};
  return pairs;
}();

// Two base64 digits for each twelve bits.
constexpr auto kBase64Pairs = [] {
  std::array<TwoCharacters, 4096> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {{kBase64Digits[i >> 6], kBase64Digits[i & 63]}};
  return pairs;
}();

}  // namespace

void JsonBuffer::grow(std::size_t bytes) {
  const std::size_t capacity = std::max({size_ + bytes + kSpare, capacity_ * 2, std::size_t{64} * 1024});
  char* memory = static_cast<char*>(std::realloc(begin_, capacity));
  if (memory == nullptr) throw std::bad_alloc();
  begin_ = memory;
  capacity_ = capacity;
}

void JsonBuffer::hex(std::uint32_t number) {
  reserve(8);
  char* out = begin_ + size_;
  for (int shift : {24, 16, 8, 0}) {
    std::memcpy(out, kHexPairs[number >> shift & 255].characters, 2);
    out += 2;
  }
  size_ += 8;
}

void JsonBuffer::attribute(std::uint32_t tag, Vr vr) {
  reserve(kSpare);
  char* out = begin_ + size_;
  *out = '"';
  size_ += 1;
  hex(tag);
  std::memcpy(out + 9, "\":{\"vr\":\"", 9);
  const auto letters = static_cast<std::uint16_t>(vr);
  out[18] = static_cast<char>(letters >> 8);
  out[19] = static_cast<char>(letters & 255);
  out[20] = '"';
  size_ += 12;
}

void JsonBuffer::string(std::string_view text) {
  if (!needs_escape(classify(text))) return plain_string(text);
  reserve(text.size() * 6 + 2);  // a control character becomes \u001f
  char* out = begin_ + size_;
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
        std::memcpy(out + 3, kHexPairs[byte].characters, 2);
        out += 5;
    }
  }
  *out++ = '"';
  size_ = static_cast<std::size_t>(out - begin_);
}

void JsonBuffer::base64(std::span<const std::uint8_t> bytes) {
  reserve((bytes.size() + 2) / 3 * 4);
  char* out = begin_ + size_;
  const std::uint8_t* in = bytes.data();
  const std::uint8_t* const end = in + bytes.size();
  for (; end - in >= 3; in += 3, out += 4) {
    const std::uint32_t bits = static_cast<std::uint32_t>(in[0]) << 16 | static_cast<std::uint32_t>(in[1]) << 8 | in[2];
    std::memcpy(out, kBase64Pairs[bits >> 12].characters, 2);
    std::memcpy(out + 2, kBase64Pairs[bits & 4095].characters, 2);
  }
  if (in != end) {
    const bool two = end - in == 2;
    const std::uint32_t bits = static_cast<std::uint32_t>(in[0]) << 16 | (two ? static_cast<std::uint32_t>(in[1]) << 8 : 0);
    std::memcpy(out, kBase64Pairs[bits >> 12].characters, 2);
    out[2] = two ? kBase64Digits[bits >> 6 & 63] : '=';
    out[3] = '=';
    out += 4;
  }
  size_ = static_cast<std::size_t>(out - begin_);
}

}  // namespace pixels
