#include "text_buffer.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

namespace pixels {

TextBuffer::~TextBuffer() { std::free(begin_); }

TextBuffer::TextBuffer(TextBuffer&& other) noexcept
    : out_(std::exchange(other.out_, nullptr)),
      begin_(std::exchange(other.begin_, nullptr)),
      limit_(std::exchange(other.limit_, nullptr)) {}

TextBuffer& TextBuffer::operator=(TextBuffer&& other) noexcept {
  std::swap(out_, other.out_);
  std::swap(begin_, other.begin_);
  std::swap(limit_, other.limit_);
  return *this;
}

void TextBuffer::grow(std::size_t bytes) {
  const std::size_t written = size(), capacity = static_cast<std::size_t>(limit_ - begin_);
  const std::size_t wanted = std::max(written + bytes, capacity * 2);
  char* memory = static_cast<char*>(std::realloc(begin_, wanted + kSpare));
  if (memory == nullptr) throw std::bad_alloc();
  begin_ = memory;
  out_ = memory + written;
  limit_ = memory + wanted;
}

}  // namespace pixels
