// A growing buffer of JSON text; all rows of a batch share one.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string_view>

#include "vr.hpp"

namespace pixels {

class JsonBuffer {
 public:
  JsonBuffer() = default;
  ~JsonBuffer() { std::free(begin_); }
  JsonBuffer(const JsonBuffer&) = delete;
  JsonBuffer& operator=(const JsonBuffer&) = delete;

  const char* data() const { return begin_; }
  std::size_t size() const { return size_; }
  std::string_view text(std::size_t from) const { return {begin_ + from, size_ - from}; }
  void truncate(std::size_t size) { size_ = size; }

  // Makes room; the short writers below need no more than the 64 bytes that are always spare.
  void reserve(std::size_t bytes) {
    if (capacity_ - size_ < bytes + kSpare) grow(bytes);
  }

  void put(char character) {
    reserve(1);
    begin_[size_++] = character;
  }

  void put(std::string_view text) {
    reserve(text.size());
    std::memcpy(begin_ + size_, text.data(), text.size());
    size_ += text.size();
  }

  void hex(std::uint32_t number);  // eight digits, as tags are written

  // The beginning of an attribute, `"GGGGEEEE":{"vr":"VR"` (PS3.18 F.2.2).
  void attribute(std::uint32_t tag, Vr vr);

  template <typename Number>
  void number(Number value) {
    reserve(kSpare);
    size_ = static_cast<std::size_t>(std::to_chars(begin_ + size_, begin_ + capacity_, value).ptr - begin_);
  }

  // A string that needs no escapes.
  void plain_string(std::string_view text) {
    reserve(text.size() + 2);
    char* out = begin_ + size_;
    *out++ = '"';
    std::memcpy(out, text.data(), text.size());
    out[text.size()] = '"';
    size_ += text.size() + 2;
  }

  // Any UTF-8 text.
  void string(std::string_view text);

  // Bytes in base64 without padding in between: all pieces of a value but the last must be a multiple of three long.
  void base64(std::span<const std::uint8_t> bytes);

 private:
  static constexpr std::size_t kSpare = 64;

  void grow(std::size_t bytes);

  char* begin_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace pixels
