// The typed columns: DICOM attributes that become Arrow columns of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "arrow.hpp"
#include "byte_order.hpp"
#include "vr.hpp"

namespace pixels {

struct ColumnSpec {
  std::uint32_t tag;
  std::string keyword;
  std::string format;  // of one value, as in the Arrow C data interface: u, tdD, i, l, g
  bool multiple;       // a list of values
};

// What became of a value that was offered to a column.
enum class Fit { whole, first_only, none };

// One typed column under construction. A row is set at most once, or set again; what is not set is null.
class Column {
 public:
  explicit Column(const ColumnSpec& spec);

  void reserve(std::size_t rows);
  Fit set_text(std::size_t row, Vr vr, std::string_view text);
  Fit set_numbers(std::size_t row, Vr vr, const std::uint8_t* bytes, std::size_t length, ByteOrder order);
  void clear_row(std::size_t row) {
    if (rows_ > row) truncate(row);
  }
  void end_row(std::size_t row) {
    if (rows_ == row) append_null_row();
  }

  // The finished array; `owner` keeps this column alive.
  std::shared_ptr<const ArrowData> finish(std::shared_ptr<const void> owner) const;

 private:
  enum class Type : std::uint8_t { texts, days, integers32, integers64, reals };

  // Calls `call` with the builder of the values.
  template <typename Self, typename Call>
  static auto with_values(Self& self, Call call) {
    switch (self.type_) {
      case Type::texts: return call(self.texts_);
      case Type::reals: return call(self.reals_);
      case Type::integers64: return call(self.integers64_);
      default: return call(self.integers32_);
    }
  }

  bool append_text(std::string_view value);
  bool append_integer(std::int64_t value);
  bool append_number(Vr vr, const std::uint8_t* bytes, ByteOrder order);
  void append_null();
  void append_null_row();
  Fit finish_row(bool all);
  void truncate(std::size_t rows);
  std::size_t values() const;

  const ColumnSpec* spec_;
  Type type_;
  std::size_t rows_ = 0;
  // The values, in the one of these that is of the column's type.
  TextBuilder texts_;
  NumberBuilder<std::int32_t> integers32_;  // days too
  NumberBuilder<std::int64_t> integers64_;
  NumberBuilder<double> reals_;
  OffsetsBuilder lists_;  // of a column that holds several values a row
};

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

}  // namespace pixels
