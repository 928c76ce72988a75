// Arrow arrays built value by value and handed over through the Arrow C data interface, without copies.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "text_buffer.hpp"

// The two structures of the Arrow C data interface, as its specification declares them.
extern "C" {
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};
}

namespace pixels {

// A finished array. Its buffers stay alive through `owner`.
struct ArrowData {
  std::string format;
  std::string name;
  std::int64_t length = 0;
  std::int64_t null_count = 0;
  std::vector<const void*> buffers;
  std::vector<std::shared_ptr<const ArrowData>> children;
  std::shared_ptr<const void> owner;
};

void export_schema(const ArrowData& data, ArrowSchema* out);
void export_array(std::shared_ptr<const ArrowData> data, ArrowArray* out);

class Bitmap {
 public:
  void append(bool value) {
    if (size_ % 8 == 0) bytes_.push_back(0);
    if (value) bytes_.back() |= static_cast<std::uint8_t>(1 << size_ % 8);
    nulls_ += !value;
    ++size_;
  }
  void truncate(std::size_t size);
  void reserve(std::size_t size) { bytes_.reserve(size / 8 + 1); }

  std::size_t size() const { return size_; }
  std::int64_t null_count() const { return nulls_; }
  const void* data() const { return nulls_ == 0 ? nullptr : bytes_.data(); }

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t size_ = 0;
  std::int64_t nulls_ = 0;
};

// Numbers of one type, or nulls.
template <typename Number>
class NumberBuilder {
 public:
  void append(Number value) { put(value, true); }
  void append_null() { put(Number{}, false); }
  void truncate(std::size_t size) {
    validity_.truncate(size);
    values_.resize(size);
  }
  void reserve(std::size_t size) {
    validity_.reserve(size);
    values_.reserve(size);
  }
  std::size_t size() const { return values_.size(); }
  void describe(ArrowData& data) const {
    data.length = static_cast<std::int64_t>(size());
    data.null_count = validity_.null_count();
    data.buffers = {validity_.data(), values_.data()};
  }

 private:
  void put(Number value, bool valid) {
    values_.push_back(value);
    validity_.append(valid);
  }

  Bitmap validity_;
  std::vector<Number> values_;
};

// Ends of variable-length values in what holds their content.
class OffsetsBuilder {
 public:
  void append(std::size_t end, bool valid) {
    if (end > INT32_MAX) throw std::overflow_error("a column of more than 2 GiB");
    offsets_.push_back(static_cast<std::int32_t>(end));
    validity_.append(valid);
  }
  // Returns where the content ends then.
  std::size_t truncate(std::size_t size) {
    validity_.truncate(size);
    offsets_.resize(size + 1);
    return static_cast<std::size_t>(offsets_.back());
  }
  void reserve(std::size_t size) {
    validity_.reserve(size);
    offsets_.reserve(size + 1);
  }
  std::size_t size() const { return offsets_.size() - 1; }
  std::size_t end() const { return static_cast<std::size_t>(offsets_.back()); }
  void describe(ArrowData& data) const {
    data.length = static_cast<std::int64_t>(size());
    data.null_count = validity_.null_count();
    data.buffers = {validity_.data(), offsets_.data()};
  }

 private:
  Bitmap validity_;
  std::vector<std::int32_t> offsets_{0};
};

// Texts in UTF-8, or nulls.
class TextBuilder {
 public:
  void append(std::string_view text) {
    content_.put(text);
    offsets_.append(content_.size(), true);
  }
  void append_null() { offsets_.append(content_.size(), false); }
  void truncate(std::size_t size) { content_.truncate(offsets_.truncate(size)); }
  void reserve(std::size_t size) { offsets_.reserve(size); }
  std::size_t size() const { return offsets_.size(); }
  void describe(ArrowData& data) const {
    offsets_.describe(data);
    data.buffers.push_back(content_.data());
  }

 private:
  OffsetsBuilder offsets_;
  TextBuffer content_;
};

// Makes a finished array of a builder that `owner` keeps alive.
template <typename Builder>
std::shared_ptr<ArrowData> finish(const Builder& builder, std::string format, std::string name,
                                  std::shared_ptr<const void> owner,
                                  std::vector<std::shared_ptr<const ArrowData>> children = {}) {
  auto data = std::make_shared<ArrowData>();
  builder.describe(*data);
  data->format = std::move(format);
  data->name = std::move(name);
  data->owner = std::move(owner);
  data->children = std::move(children);
  return data;
}

// A struct array of which no row is null.
std::shared_ptr<ArrowData> make_struct(std::string name, std::size_t length,
                                       std::vector<std::shared_ptr<const ArrowData>> children);

}  // namespace pixels
