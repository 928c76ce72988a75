#include "source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pixels {
namespace {

// Most headers fit into the first read. Reading on doubles the window; after a jump, little more is wanted.
constexpr std::size_t kFirstWindow = 16 * 1024;
constexpr std::size_t kWindowAfterJump = 4 * 1024;
constexpr std::size_t kLargestFileWindow = 64 * 1024;

[[noreturn]] void fail(const char* what) {
  throw SourceError(std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

void Source::move_window(std::uint64_t offset, std::size_t length) {
  if (offset > size_ || length > size_ - offset) throw SourceError("read beyond the end");
  const bool is_first = end_ == 0, reading_on = offset >= begin_ && offset <= end_;
  window_bytes_ = is_first ? kFirstWindow : reading_on ? std::min(window_bytes_ * 2, largest_window_) : kWindowAfterJump;
  const auto bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>(std::max(length, window_bytes_), size_ - offset));
  if (buffer_->size() < bytes) buffer_->resize(std::max(bytes, largest_window_));
  begin_ = end_ = 0;  // nothing is in view if the read fails
  read(offset, buffer_->data(), bytes);
  data_ = buffer_->data();
  begin_ = offset;
  end_ = offset + bytes;
}

void Source::copy(std::uint64_t offset, std::uint8_t* out, std::size_t length) {
  if (offset > size_ || length > size_ - offset) throw SourceError("read beyond the end");
  if (offset >= begin_ && offset + length <= end_) {
    std::memcpy(out, data_ + (offset - begin_), length);
  } else {
    read(offset, out, length);
  }
}

FileSource::FileSource(const char* path, WindowBuffer* buffer) : Source(buffer, kLargestFileWindow) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  descriptor_ = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail("cannot be opened");
  struct stat status;
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    throw SourceError("is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
#ifdef POSIX_FADV_RANDOM
  // Reading ahead would fetch pixels that nobody asked for.
  if (size_ > kFirstWindow) posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM);
#endif
}

FileSource::~FileSource() { close(descriptor_); }

void FileSource::read(std::uint64_t offset, std::uint8_t* out, std::size_t length) {
  while (length > 0) {
    const ssize_t got = pread(descriptor_, out, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot be read");
    if (got == 0) throw SourceError("became shorter while it was read");
    out += got;
    offset += static_cast<std::uint64_t>(got);
    length -= static_cast<std::size_t>(got);
  }
}

void MemorySource::read(std::uint64_t, std::uint8_t*, std::size_t) { throw SourceError("read beyond the end"); }

}  // namespace pixels
