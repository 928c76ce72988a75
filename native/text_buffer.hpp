// A growing buffer of text, quick at appending short pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "text.hpp"

namespace pixels {

class TextBuffer {
 public:
  explicit TextBuffer(std::size_t expected_bytes = 0) { grow(expected_bytes); }
  ~TextBuffer();
  TextBuffer(TextBuffer&& other) noexcept;
  TextBuffer& operator=(TextBuffer&& other) noexcept;
  TextBuffer(const TextBuffer&) = delete;

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

 protected:
  // So many bytes beyond what is written are always there, so that short writers need not ask for them first.
  static constexpr std::ptrdiff_t kSpare = 64;

  void reserve(std::size_t bytes) {
    if (static_cast<std::size_t>(limit_ - out_) < bytes) [[unlikely]] grow(bytes);
  }
  void restore_spare() {
    if (out_ > limit_) [[unlikely]] grow(0);
  }

  // What was reserved; most texts are short, and two moves that may overlap do what a call of memcpy would.
  void append(std::string_view text) {
    const char* from = text.data();
    const std::size_t size = text.size();
    if (size > 32) {
      std::memcpy(out_, from, size);
    } else if (size >= 16) {
      move_twice<16>(from, size);
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

  char* out_ = nullptr;

 private:
  void grow(std::size_t bytes);

  template <std::size_t bytes>
  void move_twice(const char* from, std::size_t size) {
    std::memcpy(out_, from, bytes);
    std::memcpy(out_ + size - bytes, from + size - bytes, bytes);
  }

  char* begin_ = nullptr;
  char* limit_ = nullptr;  // kSpare bytes before the end of the memory
};

}  // namespace pixels
