// A growing buffer of JSON text; all rows of a batch share one.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "vr.hpp"

namespace pixels {

namespace detail {

// Two digits for each byte.
inline constexpr auto kHexPairs = [] {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return pairs;
}();

}  // namespace detail

class JsonBuffer {
 public:
  explicit JsonBuffer(std::size_t expected_bytes);
  ~JsonBuffer();
  JsonBuffer(const JsonBuffer&) = delete;
  JsonBuffer& operator=(const JsonBuffer&) = delete;

  const char* data() const { return begin_; }
  std::size_t size() const { return static_cast<std::size_t>(out_ - begin_); }
  char back() const { return out_[-1]; }
  std::string_view text(std::size_t from) const { return {begin_ + from, size() - from}; }
  void truncate(std::size_t size) { out_ = begin_ + size; }

  void put(char character) {
    *out_++ = character;
    restore_spare();
  }

  void put(std::string_view text) {
    reserve(text.size());
    append(text);
  }

  template <typename Number>
  void number(Number value) {
    out_ = std::to_chars(out_, out_ + kSpare, value).ptr;
    restore_spare();
  }

  // Eight digits, as tags are written.
  void hex(std::uint32_t number) {
    write_hex(out_, number);
    out_ += 8;
    restore_spare();
  }

  // The beginning of an attribute, `"GGGGEEEE":{"vr":"VR"` (PS3.18 F.2.2).
  void attribute(std::uint32_t tag, Vr vr) {
    static constexpr char kPattern[] = "\"GGGGEEEE\":{\"vr\":\"VR\"";
    const auto letters = static_cast<std::uint16_t>(vr);
    std::memcpy(out_, kPattern, sizeof kPattern - 1);
    write_hex(out_ + 1, tag);
    out_[18] = static_cast<char>(letters >> 8);
    out_[19] = static_cast<char>(letters & 255);
    out_ += sizeof kPattern - 1;
    restore_spare();
  }

  // Any UTF-8 text.
  void string(std::string_view text);

  // A string that needs no escapes.
  void plain_string(std::string_view text) {
    reserve(text.size() + 2);
    *out_++ = '"';
    append(text);
    *out_++ = '"';
  }

  // An attribute's only value, a string that needs no escapes.
  void plain_value(std::string_view text) {
    constexpr std::string_view kOpen = ",\"Value\":[\"", kClose = "\"]";
    reserve(text.size() + kOpen.size() + kClose.size());
    append(kOpen);
    append(text);
    append(kClose);
  }

  // Bytes in base64 without padding in between: all pieces of a value but the last must be a multiple of three long.
  void base64(std::span<const std::uint8_t> bytes);

 private:
  // So many bytes beyond what is written are always there, so that short writers need not ask for them.
  static constexpr std::ptrdiff_t kSpare = 64;

  void reserve(std::size_t bytes) {
    if (static_cast<std::size_t>(limit_ - out_) < bytes) [[unlikely]] grow(bytes);
  }
  void restore_spare() {
    if (out_ > limit_) [[unlikely]] grow(0);
  }
  void grow(std::size_t bytes);

  static void write_hex(char* out, std::uint32_t number) {
    for (int i = 0; i < 4; ++i) std::memcpy(out + 2 * i, detail::kHexPairs[number >> (24 - 8 * i) & 255].data(), 2);
  }

  // Most texts are short: two moves that may overlap do what a call of memcpy would.
  void append(std::string_view text) {
    const char* from = text.data();
    const std::size_t size = text.size();
    if (size >= 16) {
      std::memcpy(out_, from, size);
    } else if (size >= 8) {
      move_twice<8>(from, size);
    } else if (size >= 4) {
      move_twice<4>(from, size);
    } else if (size > 0) {
      out_[0] = from[0];
      out_[size / 2] = from[size / 2];
      out_[size - 1] = from[size - 1];
    }
    out_ += size;
  }
  template <std::size_t bytes>
  void move_twice(const char* from, std::size_t size) {
    std::memcpy(out_, from, bytes);
    std::memcpy(out_ + size - bytes, from + size - bytes, bytes);
  }

  char* begin_;
  char* out_;
  char* limit_;  // kSpare bytes before the end of the memory
};

}  // namespace pixels
