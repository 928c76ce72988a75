// The rows that reading headers yields, as columns: metadata, typed attributes, where the pixels lie, what was wrong.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arrow.hpp"
#include "columns.hpp"
#include "json.hpp"

namespace pixels {

class HeaderBatch {
 public:
  HeaderBatch(const ColumnIndex& index, std::size_t rows);

  // Rows are written one after the other, each between `begin_row` and `end_row`.
  void begin_row();
  void end_row();

  // Forgets what the current row holds so far.
  void restart_row();

  std::size_t row() const { return metas_.size(); }

  // The row's metadata is what is written to `json` after `begin_row`, once it is said to be complete.
  JsonBuffer& json() { return json_; }
  std::size_t row_json_bytes() const { return json_.size() - metas_.end(); }
  void set_has_meta() { has_meta_ = true; }

  TypedColumns& columns() { return columns_; }
  void set_pixel_data(std::uint32_t tag, std::uint64_t offset, std::optional<std::uint64_t> length);
  void add_fragment(std::optional<std::int32_t> frame, std::uint64_t offset, std::uint64_t length);
  void set_is_dicom() { is_dicom_ = true; }
  void set_error(std::string message) { error_ = std::move(message); }

  // Of a file that is wrong throughout, only the first issues are kept.
  void add_issue(std::string_view path, std::string_view vr, std::string_view message);

  // The rows as one struct array, which keeps the batch alive; no more rows can be written.
  static std::shared_ptr<const ArrowData> finish(std::shared_ptr<HeaderBatch> batch);

 private:
  struct PixelData {
    std::uint32_t tag;
    std::uint64_t offset;
    std::optional<std::uint64_t> length;
  };

  // The current row.
  bool has_meta_ = false;
  bool is_dicom_ = false;
  std::string error_;
  std::optional<PixelData> pixel_data_;

  JsonBuffer json_;
  OffsetsBuilder metas_;
  TypedColumns columns_;

  Bitmap pixel_data_validity_;
  TextBuilder pixel_data_tags_;
  NumberBuilder<std::int64_t> pixel_data_offsets_, pixel_data_lengths_;

  OffsetsBuilder fragments_;
  NumberBuilder<std::int32_t> fragment_frames_;
  NumberBuilder<std::int64_t> fragment_offsets_, fragment_lengths_;

  TextBuilder file_types_, parsers_, errors_;

  OffsetsBuilder issues_;
  TextBuilder issue_tags_, issue_vrs_, issue_messages_;
};

}  // namespace pixels
