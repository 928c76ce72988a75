#include "batch.hpp"

#include <utility>

#include "elements.hpp"

namespace pixels {
namespace {

constexpr std::size_t kMostIssues = 100;            // of one row
constexpr std::size_t kUsualJsonBytes = 10 * 1024;  // of one row

// Validity of structs, described as Arrow wants it.
struct StructRows {
  const Bitmap& validity;

  void describe(ArrowData& data) const {
    data.length = static_cast<std::int64_t>(validity.size());
    data.null_count = validity.null_count();
    data.buffers = {validity.data()};
  }
};

// The metadata texts, whose content is the JSON buffer.
struct JsonTexts {
  const OffsetsBuilder& offsets;
  const JsonBuffer& json;

  void describe(ArrowData& data) const {
    offsets.describe(data);
    data.buffers.push_back(json.data());
  }
};

void append_or_null(TextBuilder& texts, bool present, std::string_view text) {
  if (present) {
    texts.append(text);
  } else {
    texts.append_null();
  }
}

}  // namespace

HeaderBatch::HeaderBatch(const ColumnIndex& index, std::size_t rows)
    : json_(rows * kUsualJsonBytes), columns_(index, rows) {}

void HeaderBatch::begin_row() {
  has_meta_ = is_dicom_ = false;
  error_.clear();
  pixel_data_.reset();
}

void HeaderBatch::restart_row() {
  begin_row();
  json_.truncate(metas_.end());
  columns_.clear_row(row());
  fragment_frames_.truncate(fragments_.end());
  fragment_offsets_.truncate(fragments_.end());
  fragment_lengths_.truncate(fragments_.end());
  issue_tags_.truncate(issues_.end());
  issue_vrs_.truncate(issues_.end());
  issue_messages_.truncate(issues_.end());
}

void HeaderBatch::end_row() {
  if (json_.size() > INT32_MAX) {
    restart_row();
    set_is_dicom();
    set_error("the metadata of its batch is larger than 2 GiB");
  }
  if (!has_meta_) json_.truncate(metas_.end());

  pixel_data_validity_.append(pixel_data_.has_value());
  if (pixel_data_) {
    pixel_data_tags_.append(tag_text(pixel_data_->tag));
    pixel_data_offsets_.append(static_cast<std::int64_t>(pixel_data_->offset));
  } else {
    pixel_data_tags_.append_null();
    pixel_data_offsets_.append_null();
  }
  if (pixel_data_ && pixel_data_->length) {
    pixel_data_lengths_.append(static_cast<std::int64_t>(*pixel_data_->length));
  } else {
    pixel_data_lengths_.append_null();
  }

  fragments_.append(fragment_frames_.size(), fragment_frames_.size() > fragments_.end());
  append_or_null(file_types_, is_dicom_, "application/dicom");
  append_or_null(parsers_, has_meta_, "native");
  append_or_null(errors_, !error_.empty(), error_);
  issues_.append(issue_tags_.size(), issue_tags_.size() > issues_.end());
  metas_.append(json_.size(), has_meta_);
}

void HeaderBatch::set_pixel_data(std::uint32_t tag, std::uint64_t offset, std::optional<std::uint64_t> length) {
  pixel_data_ = {tag, offset, length};
}

void HeaderBatch::add_fragment(std::optional<std::int32_t> frame, std::uint64_t offset, std::uint64_t length) {
  if (frame) {
    fragment_frames_.append(*frame);
  } else {
    fragment_frames_.append_null();
  }
  fragment_offsets_.append(static_cast<std::int64_t>(offset));
  fragment_lengths_.append(static_cast<std::int64_t>(length));
}

void HeaderBatch::add_issue(std::string_view path, std::string_view vr, std::string_view message) {
  const std::size_t count = issue_tags_.size() - issues_.end();
  if (count > kMostIssues) return;
  if (count == kMostIssues) {
    path = vr = {};
    message = "there are more issues than are listed";
  }
  append_or_null(issue_tags_, !path.empty(), path);
  append_or_null(issue_vrs_, !vr.empty(), vr);
  issue_messages_.append(message);
}

std::shared_ptr<const ArrowData> HeaderBatch::finish(std::shared_ptr<HeaderBatch> batch) {
  HeaderBatch& rows = *batch;
  const auto array = [&batch](const auto& builder, const char* format, const char* name,
                              std::vector<std::shared_ptr<const ArrowData>> children = {}) {
    return pixels::finish(builder, format, name, batch, std::move(children));
  };
  const auto list_of_structs = [&](const OffsetsBuilder& offsets, const char* name,
                                   std::vector<std::shared_ptr<const ArrowData>> fields) {
    return array(offsets, "+l", name, {make_struct("item", offsets.end(), std::move(fields))});
  };

  std::vector<std::shared_ptr<const ArrowData>> columns;
  columns.push_back(array(JsonTexts{rows.metas_, rows.json_}, "u", "meta"));
  for (auto& column : rows.columns_.finish()) columns.push_back(std::move(column));
  columns.push_back(array(StructRows{rows.pixel_data_validity_}, "+s", "pixel_data",
                          {array(rows.pixel_data_tags_, "u", "tag"), array(rows.pixel_data_offsets_, "l", "offset"),
                           array(rows.pixel_data_lengths_, "l", "length")}));
  columns.push_back(list_of_structs(rows.fragments_, "fragments",
                                    {array(rows.fragment_frames_, "i", "frame"),
                                     array(rows.fragment_offsets_, "l", "offset"),
                                     array(rows.fragment_lengths_, "l", "length")}));
  columns.push_back(array(rows.file_types_, "u", "file_type"));
  columns.push_back(array(rows.parsers_, "u", "parsed_by"));
  columns.push_back(array(rows.errors_, "u", "error"));
  columns.push_back(list_of_structs(rows.issues_, "issues",
                                    {array(rows.issue_tags_, "u", "tag"), array(rows.issue_vrs_, "u", "vr"),
                                     array(rows.issue_messages_, "u", "message")}));
  return make_struct("", rows.row(), std::move(columns));
}

}  // namespace pixels
