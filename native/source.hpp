// Where bytes come from: a window over an object, filled by reads at offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pixels {

// An object that cannot be opened or read; the message names no path and no content.
class SourceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What is kept from one object to the next: memory, how much to read first, and the folder of the last file.
class SourceCache {
 public:
  SourceCache() = default;
  ~SourceCache();
  SourceCache(const SourceCache&) = delete;
  SourceCache& operator=(const SourceCache&) = delete;

  std::uint8_t* reserve(std::size_t bytes) {
    if (memory_.size() < bytes) memory_.resize(bytes);
    return memory_.data();
  }

  std::size_t first_window() const { return first_window_; }

  // Objects tend to lie next to others like them: what one header needed, the next will need.
  void expect(std::uint64_t header_bytes);

  // Opens a file relative to its folder, which is quicker than going down the whole path each time. Returns what
  // `open` returns.
  int open_file(const char* path);

 private:
  void open_folder(std::string_view path);

  std::vector<std::uint8_t> memory_;
  std::size_t first_window_ = 16 * 1024;
  std::string folder_path_;
  int folder_ = -1;
};

class Source {
 public:
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  std::uint64_t size() const { return size_; }

  // True if reading at an offset costs reading all before it.
  virtual bool sequential() const { return false; }

  // The bytes from `offset`, which must lie within the object; they stay until the next call.
  const std::uint8_t* view(std::uint64_t offset, std::size_t length) {
    if (offset < begin_ || offset + length > end_) move_window(offset, length);
    return data_ + (offset - begin_);
  }

  // What is in view from `offset` on, which may be nothing.
  std::string_view in_view(std::uint64_t offset) const {
    if (offset < begin_ || offset >= end_) return {};
    return {reinterpret_cast<const char*>(data_) + (offset - begin_), static_cast<std::size_t>(end_ - offset)};
  }

  // Copies bytes out and leaves the window where it is: for small looks far ahead.
  void copy(std::uint64_t offset, std::uint8_t* out, std::size_t length);

 protected:
  Source(SourceCache* cache, std::size_t largest_window) : cache_(cache), largest_window_(largest_window) {}

  // Fills `out` whole, or throws SourceError.
  virtual void read(std::uint64_t offset, std::uint8_t* out, std::size_t length) = 0;

  // Makes the whole object the window.
  void set_whole(const std::uint8_t* data, std::uint64_t size) {
    data_ = data;
    size_ = end_ = size;
  }

  std::uint64_t size_ = 0;

 private:
  void move_window(std::uint64_t offset, std::size_t length);
  void extend_window();

  SourceCache* cache_;
  std::size_t largest_window_;
  std::size_t window_bytes_ = 0;
  const std::uint8_t* data_ = nullptr;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

// A local file.
class FileSource final : public Source {
 public:
  FileSource(const char* path, SourceCache* cache);
  ~FileSource() override;

 protected:
  void read(std::uint64_t offset, std::uint8_t* out, std::size_t length) override;

 private:
  // Bytes that the system has in memory; the number may be smaller than asked for, or 0.
  std::size_t read_cached(std::uint64_t offset, std::uint8_t* out, std::size_t length);

  int descriptor_;
  bool is_random_ = false;
};

// Bytes in memory, which the caller keeps.
class MemorySource final : public Source {
 public:
  explicit MemorySource(std::string_view bytes) : Source(nullptr, 0) {
    set_whole(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }

 protected:
  void read(std::uint64_t offset, std::uint8_t* out, std::size_t length) override;
};

}  // namespace pixels
