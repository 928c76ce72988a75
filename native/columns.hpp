// The typed columns: DICOM attributes that become Arrow columns of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "arrow.hpp"
#include "byte_order.hpp"
#include "text_buffer.hpp"
#include "vr.hpp"

namespace pixels {

enum class ColumnType : std::uint8_t { text, date, int32, int64, float64 };

struct ColumnSpec {
  std::uint32_t tag;
  std::string keyword;
  ColumnType type;
  bool multiple;  // a list of values
};

// The type that the Arrow C data interface writes as `format`.
ColumnType column_type(std::string_view format);

// Finds the column of a tag.
class ColumnIndex {
 public:
  explicit ColumnIndex(std::vector<ColumnSpec> specs);

  const std::vector<ColumnSpec>& specs() const { return specs_; }

  // Number of the tag's column, -1 if it has none.
  int find(std::uint32_t tag) const {
    for (std::size_t at = slot(tag); slots_[at] >= 0; at = (at + 1) % kSlots) {
      if (specs_[static_cast<std::size_t>(slots_[at])].tag == tag) return slots_[at];
    }
    return -1;
  }

 private:
  static constexpr std::size_t kSlots = 512;

  static std::size_t slot(std::uint32_t tag) { return tag * 2654435761u >> 23; }

  std::vector<ColumnSpec> specs_;
  std::vector<std::int16_t> slots_;
};

// What became of a value that was offered to a column.
enum class Fit { whole, first_only, none };

// The values of a batch's typed columns. They are collected row by row, in memory that lies together, and put into
// Arrow arrays column by column at the end.
class TypedColumns {
 public:
  // A number's bits; or where a text or a list lies: its beginning in the upper half, its length in the lower.
  struct Cell {
    std::uint64_t bits = 0;
    bool is_null = true;
  };

  TypedColumns(const ColumnIndex& index, std::size_t rows);

  // Setting a value again replaces it.
  Fit set_text(std::size_t row, int column, Vr vr, std::string_view text);
  Fit set_numbers(std::size_t row, int column, Vr vr, const std::uint8_t* bytes, std::size_t length, ByteOrder order);
  void clear_row(std::size_t row);

  // What a value became; other rows of the batch may have the same.
  Cell cell(std::size_t row, int column) const { return cells_[place(row, column)]; }
  void set_cell(std::size_t row, int column, Cell cell) { cells_[place(row, column)] = cell; }

  // Makes the arrays, and frees what they were made of.
  std::vector<std::shared_ptr<const ArrowData>> finish();

 private:
  std::size_t place(std::size_t row, int column) const {
    return row * specs_.size() + static_cast<std::size_t>(column);
  }
  Cell& empty_cell(std::size_t row, int column) { return cells_[place(row, column)] = Cell(); }

  // Fill a cell with one value; false if that does not fit the column's type.
  bool fill(Cell& cell, ColumnType type, std::string_view text);
  bool fill(Cell& cell, ColumnType type, Vr vr, const std::uint8_t* bytes, ByteOrder order);
  bool fill_with_text(Cell& cell, std::string_view text);
  void fill_with_list(Cell& cell, std::size_t begin);

  std::shared_ptr<const ArrowData> finish(std::size_t column) const;

  const std::vector<ColumnSpec>& specs_;
  std::vector<Cell> cells_;  // row by row
  std::vector<Cell> list_cells_;
  TextBuffer texts_;
};

}  // namespace pixels
