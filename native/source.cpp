#include "source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pixels {
namespace {

// Reading on doubles the window; after a jump, little more is wanted.
constexpr std::size_t kSmallestWindow = 4 * 1024;
constexpr std::size_t kLargestFileWindow = 64 * 1024;

[[noreturn]] void fail(const char* what) {
  throw SourceError(std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

SourceCache::~SourceCache() {
  if (folder_ >= 0) close(folder_);
}

int SourceCache::open_file(const char* path) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  const char* slash = std::strrchr(path, '/');
  if (slash == nullptr) return open(path, kFlags);
  const std::string_view folder(path, static_cast<std::size_t>(slash - path) + 1);
  if (folder != folder_path_) open_folder(folder);
  return folder_ < 0 ? open(path, kFlags) : openat(folder_, slash + 1, kFlags);
}

void SourceCache::open_folder(std::string_view path) {
#ifdef O_PATH
  constexpr int kFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;
#else
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
#endif
  if (folder_ >= 0) close(folder_);
  folder_path_ = path;
  folder_ = open(folder_path_.c_str(), kFlags);
}

void SourceCache::expect(std::uint64_t header_bytes) {
  if (header_bytes == 0) return;
  const auto pages = (header_bytes + kSmallestWindow) / kSmallestWindow;  // and some bytes more
  first_window_ = static_cast<std::size_t>(std::min<std::uint64_t>(pages * kSmallestWindow, kLargestFileWindow));
}

void Source::move_window(std::uint64_t offset, std::size_t length) {
  if (offset > size_ || length > size_ - offset) throw SourceError("read beyond the end");
  const bool is_first = end_ == 0, reading_on = offset >= begin_ && offset <= end_;
  window_bytes_ = is_first     ? cache_->first_window()
                  : reading_on ? std::min(window_bytes_ * 2, largest_window_)
                               : kSmallestWindow;
  if (reading_on && !is_first && offset + length <= begin_ + window_bytes_) return extend_window();
  const auto bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>(std::max(length, window_bytes_), size_ - offset));
  begin_ = end_ = 0;  // nothing is in view if the read fails
  std::uint8_t* memory = cache_->reserve(std::max(bytes, largest_window_));
  read(offset, memory, bytes);
  data_ = memory;
  begin_ = offset;
  end_ = offset + bytes;
}

void Source::extend_window() {
  const std::uint64_t end = std::min<std::uint64_t>(begin_ + window_bytes_, size_);
  const auto held = static_cast<std::size_t>(end_ - begin_);
  read(end_, cache_->reserve(largest_window_) + held, static_cast<std::size_t>(end - end_));
  end_ = end;
}

void Source::copy(std::uint64_t offset, std::uint8_t* out, std::size_t length) {
  if (offset > size_ || length > size_ - offset) throw SourceError("read beyond the end");
  if (offset >= begin_ && offset + length <= end_) {
    std::memcpy(out, data_ + (offset - begin_), length);
  } else {
    read(offset, out, length);
  }
}

FileSource::FileSource(const char* path, SourceCache* cache) : Source(cache, kLargestFileWindow) {
  descriptor_ = cache->open_file(path);
  if (descriptor_ < 0) fail("cannot be opened");
  struct stat status;
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    throw SourceError("is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

FileSource::~FileSource() { close(descriptor_); }

void FileSource::read(std::uint64_t offset, std::uint8_t* out, std::size_t length) {
  for (std::size_t done = read_cached(offset, out, length); done < length;) {
    if (!is_random_) {
      is_random_ = true;
#ifdef POSIX_FADV_RANDOM
      posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM);  // reading ahead would fetch pixels that nobody asked for
#endif
    }
    const ssize_t got = pread(descriptor_, out + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot be read");
    if (got == 0) throw SourceError("became shorter while it was read");
    done += static_cast<std::size_t>(got);
  }
}

std::size_t FileSource::read_cached(std::uint64_t offset, std::uint8_t* out, std::size_t length) {
#ifdef RWF_NOWAIT
  if (is_random_) return 0;
  const iovec piece{out, length};
  const ssize_t got = preadv2(descriptor_, &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  return got < 0 ? 0 : static_cast<std::size_t>(got);
#else
  static_cast<void>(offset), static_cast<void>(out), static_cast<void>(length);
  return 0;
#endif
}

void MemorySource::read(std::uint64_t, std::uint8_t*, std::size_t) { throw SourceError("read beyond the end"); }

}  // namespace pixels
