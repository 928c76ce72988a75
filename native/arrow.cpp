#include "arrow.hpp"

#include <utility>

namespace pixels {
namespace {

constexpr std::int64_t kNullable = 2;  // ARROW_FLAG_NULLABLE

struct SchemaContent {
  std::string format, name;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> child_pointers;
};

struct ArrayContent {
  std::shared_ptr<const ArrowData> data;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> child_pointers;
};

// A consumer may have taken children over; these are marked by having no release function left.
template <typename Structure, typename Content>
void release(Structure* structure) {
  auto* content = static_cast<Content*>(structure->private_data);
  for (Structure& child : content->children) {
    if (child.release != nullptr) child.release(&child);
  }
  delete content;
  structure->release = nullptr;
}

template <typename Content>
void link_children(Content& content, std::size_t count) {
  content.children.resize(count);
  for (auto& child : content.children) content.child_pointers.push_back(&child);
}

}  // namespace

void export_schema(const ArrowData& data, ArrowSchema* out) {
  auto content = std::make_unique<SchemaContent>();
  content->format = data.format;
  content->name = data.name;
  link_children(*content, data.children.size());
  for (std::size_t i = 0; i < data.children.size(); ++i) export_schema(*data.children[i], &content->children[i]);
  *out = {};
  out->format = content->format.c_str();
  out->name = content->name.c_str();
  out->flags = kNullable;
  out->n_children = static_cast<std::int64_t>(content->children.size());
  out->children = content->child_pointers.data();
  out->release = release<ArrowSchema, SchemaContent>;
  out->private_data = content.release();
}

void export_array(std::shared_ptr<const ArrowData> data, ArrowArray* out) {
  auto content = std::make_unique<ArrayContent>();
  content->buffers = data->buffers;
  link_children(*content, data->children.size());
  for (std::size_t i = 0; i < data->children.size(); ++i) export_array(data->children[i], &content->children[i]);
  *out = {};
  out->length = data->length;
  out->null_count = data->null_count;
  out->n_buffers = static_cast<std::int64_t>(content->buffers.size());
  out->buffers = content->buffers.data();
  out->n_children = static_cast<std::int64_t>(content->children.size());
  out->children = content->child_pointers.data();
  content->data = std::move(data);
  out->release = release<ArrowArray, ArrayContent>;
  out->private_data = content.release();
}

void Bitmap::truncate(std::size_t size) {
  while (size_ > size) {
    --size_;
    nulls_ -= (bytes_.back() >> size_ % 8 & 1) == 0;
    bytes_.back() &= static_cast<std::uint8_t>(~(1 << size_ % 8));
    if (size_ % 8 == 0) bytes_.pop_back();
  }
}

std::shared_ptr<ArrowData> make_struct(std::string name, std::size_t length,
                                       std::vector<std::shared_ptr<const ArrowData>> children) {
  auto data = std::make_shared<ArrowData>();
  data->format = "+s";
  data->name = std::move(name);
  data->length = static_cast<std::int64_t>(length);
  data->buffers = {nullptr};
  data->children = std::move(children);
  return data;
}

}  // namespace pixels
