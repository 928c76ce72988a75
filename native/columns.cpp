#include "columns.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <variant>

#include "numbers.hpp"
#include "text.hpp"

namespace pixels {
namespace {

constexpr std::size_t kUsualTextBytes = 1024;  // of one row

// The arrays of one column, which own its buffers.
struct ColumnArrays {
  std::variant<TextBuilder, NumberBuilder<std::int32_t>, NumberBuilder<std::int64_t>, NumberBuilder<double>> values;
  OffsetsBuilder lists;
};

const char* format_of(ColumnType type) {
  switch (type) {
    case ColumnType::text: return "u";
    case ColumnType::date: return "tdD";
    case ColumnType::int32: return "i";
    case ColumnType::int64: return "l";
    default: return "g";
  }
}

bool fits(ColumnType type, std::int64_t value) {
  if (type == ColumnType::int64) return true;
  return value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max();
}

// A value of a numeric VR; integers of 64 bits lose nothing.
std::variant<std::int64_t, double> read_number(Vr vr, const std::uint8_t* bytes, ByteOrder order) {
  const auto integer = [](auto value) { return static_cast<std::int64_t>(value); };
  switch (vr) {
    case Vr::US: return integer(order.u16(bytes));
    case Vr::SS: return integer(static_cast<std::int16_t>(order.u16(bytes)));
    case Vr::UL: return integer(order.u32(bytes));
    case Vr::SL: return integer(static_cast<std::int32_t>(order.u32(bytes)));
    case Vr::SV: return integer(order.u64(bytes));
    case Vr::FL: return static_cast<double>(order.f32(bytes));
    case Vr::FD: return order.f64(bytes);
    default: break;
  }
  const std::uint64_t value = order.u64(bytes);  // UV
  if (value <= INT64_MAX) return integer(value);
  return static_cast<double>(value);
}

}  // namespace

ColumnType column_type(std::string_view format) {
  for (const ColumnType type :
       {ColumnType::text, ColumnType::date, ColumnType::int32, ColumnType::int64, ColumnType::float64}) {
    if (format == format_of(type)) return type;
  }
  throw std::invalid_argument("no column can be of the Arrow format " + std::string(format));
}

ColumnIndex::ColumnIndex(std::vector<ColumnSpec> specs) : specs_(std::move(specs)), slots_(kSlots, -1) {
  if (specs_.size() > kSlots / 2) throw std::length_error("more typed columns than expected");
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    std::size_t at = slot(specs_[i].tag);
    while (slots_[at] >= 0) at = (at + 1) % kSlots;
    slots_[at] = static_cast<std::int16_t>(i);
  }
}

TypedColumns::TypedColumns(const ColumnIndex& index, std::size_t rows)
    : specs_(index.specs()), cells_(rows * specs_.size()), texts_(rows * kUsualTextBytes) {}

void TypedColumns::clear_row(std::size_t row) {
  std::fill_n(cells_.begin() + static_cast<std::ptrdiff_t>(row * specs_.size()), specs_.size(), Cell());
}

Fit TypedColumns::set_text(std::size_t row, int column, Vr vr, std::string_view text) {
  const ColumnSpec& spec = specs_[static_cast<std::size_t>(column)];
  Cell& cell = empty_cell(row, column);
  text = trim(text, Padding::around);
  if (text.empty()) return Fit::whole;
  const auto next = [&text, vr](bool& more) {
    std::string_view value = next_value(text, more);
    if (vr == Vr::PN) value = value.substr(0, value.find('='));
    return trim(value, Padding::around);
  };
  bool more = true;
  if (!spec.multiple) {
    if (!fill(cell, spec.type, next(more))) return Fit::none;
    return more ? Fit::first_only : Fit::whole;
  }
  const std::size_t begin = list_cells_.size();
  while (more) {
    if (fill(list_cells_.emplace_back(), spec.type, next(more))) continue;
    list_cells_.resize(begin);
    return Fit::none;
  }
  fill_with_list(cell, begin);
  return Fit::whole;
}

Fit TypedColumns::set_numbers(std::size_t row, int column, Vr vr, const std::uint8_t* bytes, std::size_t length,
                              ByteOrder order) {
  const ColumnSpec& spec = specs_[static_cast<std::size_t>(column)];
  Cell& cell = empty_cell(row, column);
  const std::size_t step = traits_of(vr).value_bytes, count = length / step;
  if (count == 0) return Fit::whole;
  if (!spec.multiple) {
    if (!fill(cell, spec.type, vr, bytes, order)) return Fit::none;
    return count > 1 ? Fit::first_only : Fit::whole;
  }
  const std::size_t begin = list_cells_.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (fill(list_cells_.emplace_back(), spec.type, vr, bytes + i * step, order)) continue;
    list_cells_.resize(begin);
    return Fit::none;
  }
  fill_with_list(cell, begin);
  return Fit::whole;
}

bool TypedColumns::fill(Cell& cell, ColumnType type, std::string_view text) {
  if (text.empty()) return true;
  if (type == ColumnType::text) return fill_with_text(cell, text);
  if (type == ColumnType::date) {
    const std::optional<std::int32_t> days = parse_date(text);
    if (days) cell = {static_cast<std::uint64_t>(*days), false};
    return days.has_value();
  }
  Decimal decimal;
  if (!parse_decimal(text, decimal)) return false;
  if (type == ColumnType::float64) {
    const std::optional<double> number = to_double(decimal);
    if (number) cell = {std::bit_cast<std::uint64_t>(*number), false};
    return number.has_value();
  }
  const std::optional<std::int64_t> number = to_integer(decimal);
  if (!number || !fits(type, *number)) return false;
  cell = {static_cast<std::uint64_t>(*number), false};
  return true;
}

bool TypedColumns::fill(Cell& cell, ColumnType type, Vr vr, const std::uint8_t* bytes, ByteOrder order) {
  const std::variant<std::int64_t, double> number = read_number(vr, bytes, order);
  const auto* integer = std::get_if<std::int64_t>(&number);
  const double real = integer ? static_cast<double>(*integer) : std::get<double>(number);
  if (!std::isfinite(real) || type == ColumnType::date) return false;
  if (type == ColumnType::float64) {
    cell = {std::bit_cast<std::uint64_t>(real), false};
    return true;
  }
  if (type == ColumnType::text) {
    char digits[64];
    const auto end = integer ? std::to_chars(digits, std::end(digits), *integer)
                             : std::to_chars(digits, std::end(digits), real);
    return fill_with_text(cell, {digits, static_cast<std::size_t>(end.ptr - digits)});
  }
  if (!integer || !fits(type, *integer)) return false;
  cell = {static_cast<std::uint64_t>(*integer), false};
  return true;
}

bool TypedColumns::fill_with_text(Cell& cell, std::string_view text) {
  const std::size_t begin = texts_.size();
  if (begin + text.size() > INT32_MAX) return false;  // a column's offsets would not reach it
  texts_.put(text);
  cell = {std::uint64_t{begin} << 32 | text.size(), false};
  return true;
}

void TypedColumns::fill_with_list(Cell& cell, std::size_t begin) {
  cell = {std::uint64_t{begin} << 32 | (list_cells_.size() - begin), false};
}

std::vector<std::shared_ptr<const ArrowData>> TypedColumns::finish() {
  std::vector<std::shared_ptr<const ArrowData>> columns;
  for (std::size_t column = 0; column < specs_.size(); ++column) columns.push_back(finish(column));
  cells_ = {};
  list_cells_ = {};
  texts_ = TextBuffer();
  return columns;
}

std::shared_ptr<const ArrowData> TypedColumns::finish(std::size_t column) const {
  const ColumnSpec& spec = specs_[column];
  const std::size_t rows = specs_.empty() ? 0 : cells_.size() / specs_.size();
  auto arrays = std::make_shared<ColumnArrays>();

  // Appends all rows by `append`, which takes a cell that is not null.
  const auto fill = [&](auto& values, auto append) {
    values.reserve(rows);
    const auto append_cell = [&](const Cell& cell) { cell.is_null ? values.append_null() : append(values, cell.bits); };
    for (std::size_t row = 0; row < rows; ++row) {
      const Cell& cell = cells_[row * specs_.size() + column];
      if (!spec.multiple) {
        append_cell(cell);
        continue;
      }
      const std::size_t begin = cell.bits >> 32, end = begin + (cell.bits & 0xFFFFFFFF);
      for (std::size_t i = begin; i < end; ++i) append_cell(list_cells_[i]);
      arrays->lists.append(values.size(), !cell.is_null);
    }
    return pixels::finish(values, format_of(spec.type), spec.multiple ? "item" : spec.keyword, arrays);
  };
  const auto fill_numbers = [&]<typename Number>(Number) {
    return fill(arrays->values.emplace<NumberBuilder<Number>>(), [](NumberBuilder<Number>& values, std::uint64_t bits) {
      values.append(std::is_floating_point_v<Number> ? std::bit_cast<double>(bits) : static_cast<Number>(bits));
    });
  };

  std::shared_ptr<const ArrowData> values;
  switch (spec.type) {
    case ColumnType::text:
      values = fill(arrays->values.emplace<TextBuilder>(), [this](TextBuilder& texts, std::uint64_t bits) {
        texts.append({texts_.data() + (bits >> 32), bits & 0xFFFFFFFF});
      });
      break;
    case ColumnType::int64: values = fill_numbers(std::int64_t{}); break;
    case ColumnType::float64: values = fill_numbers(double{}); break;
    default: values = fill_numbers(std::int32_t{});
  }
  if (!spec.multiple) return values;
  return pixels::finish(arrays->lists, "+l", spec.keyword, arrays, {values});
}

}  // namespace pixels
