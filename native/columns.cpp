#include "columns.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "numbers.hpp"
#include "text.hpp"

namespace pixels {
namespace {

// A value of a numeric VR; integers of 64 bits lose nothing.
struct Number {
  bool is_float;
  std::int64_t integer;
  double real;
};

Number read_number(Vr vr, const std::uint8_t* bytes, ByteOrder order) {
  const auto integer = [](std::int64_t value) { return Number{false, value, static_cast<double>(value)}; };
  const auto real = [](double value) { return Number{true, 0, value}; };
  switch (vr) {
    case Vr::US: return integer(order.u16(bytes));
    case Vr::SS: return integer(static_cast<std::int16_t>(order.u16(bytes)));
    case Vr::UL: return integer(order.u32(bytes));
    case Vr::SL: return integer(static_cast<std::int32_t>(order.u32(bytes)));
    case Vr::SV: return integer(static_cast<std::int64_t>(order.u64(bytes)));
    case Vr::FL: return real(order.f32(bytes));
    case Vr::FD: return real(order.f64(bytes));
    default: break;
  }
  const std::uint64_t value = order.u64(bytes);  // UV
  return value <= INT64_MAX ? integer(static_cast<std::int64_t>(value)) : real(static_cast<double>(value));
}

template <typename Integer>
bool append_integer(NumberBuilder<Integer>& values, std::int64_t value) {
  if (value < std::numeric_limits<Integer>::min() || value > std::numeric_limits<Integer>::max()) return false;
  values.append(static_cast<Integer>(value));
  return true;
}

}  // namespace

Column::Column(const ColumnSpec& spec) : spec_(&spec), is_date_(spec.format == "tdD") {
  if (spec.format == "i" || is_date_) {
    values_.emplace<NumberBuilder<std::int32_t>>();
  } else if (spec.format == "l") {
    values_.emplace<NumberBuilder<std::int64_t>>();
  } else if (spec.format == "g") {
    values_.emplace<NumberBuilder<double>>();
  } else if (spec.format != "u") {
    throw std::invalid_argument("no column can be of the Arrow format " + spec.format);
  }
}

Fit Column::set_text(std::size_t row, Vr vr, std::string_view text) {
  truncate(row);
  if (trim(text, Padding::around).empty()) return Fit::whole;
  bool more = true, all = true;
  while (more) {
    std::string_view value = next_value(text, more);
    if (vr == Vr::PN) value = value.substr(0, value.find('='));
    value = trim(value, Padding::around);
    if (value.empty()) {
      append_null();
    } else if (!append_text(value)) {
      truncate(row);
      return Fit::none;
    }
    if (!spec_->multiple && more) {
      all = false;
      break;
    }
  }
  if (spec_->multiple) lists_.append(values(), true);
  return all ? Fit::whole : Fit::first_only;
}

Fit Column::set_numbers(std::size_t row, Vr vr, const std::uint8_t* bytes, std::size_t length, ByteOrder order) {
  truncate(row);
  const std::size_t step = traits_of(vr).value_bytes;
  const std::size_t count = length / step;
  if (count == 0) return Fit::whole;
  const std::size_t wanted = spec_->multiple ? count : 1;
  for (std::size_t i = 0; i < wanted; ++i) {
    if (append_number(vr, bytes + i * step, order)) continue;
    truncate(row);
    return Fit::none;
  }
  if (spec_->multiple) lists_.append(values(), true);
  return wanted == count ? Fit::whole : Fit::first_only;
}

void Column::end_row(std::size_t row) {
  if (spec_->multiple) {
    if (lists_.size() == row) lists_.append(values(), false);
  } else if (values() == row) {
    append_null();
  }
}

bool Column::append_text(std::string_view value) {
  if (auto* texts = std::get_if<TextBuilder>(&values_)) {
    texts->append(value);
    return true;
  }
  if (is_date_) {
    const std::optional<std::int32_t> days = parse_date(value);
    if (days) std::get<NumberBuilder<std::int32_t>>(values_).append(*days);
    return days.has_value();
  }
  const std::optional<Decimal> decimal = parse_decimal(value);
  if (!decimal) return false;
  if (auto* reals = std::get_if<NumberBuilder<double>>(&values_)) {
    const std::optional<double> number = to_double(*decimal);
    if (number) reals->append(*number);
    return number.has_value();
  }
  const std::optional<std::int64_t> number = to_integer(*decimal);
  if (!number) return false;
  if (auto* integers = std::get_if<NumberBuilder<std::int64_t>>(&values_)) return append_integer(*integers, *number);
  return append_integer(std::get<NumberBuilder<std::int32_t>>(values_), *number);
}

bool Column::append_number(Vr vr, const std::uint8_t* bytes, ByteOrder order) {
  const Number number = read_number(vr, bytes, order);
  if (number.is_float && !std::isfinite(number.real)) return false;
  if (auto* reals = std::get_if<NumberBuilder<double>>(&values_)) {
    reals->append(number.real);
    return true;
  }
  if (auto* texts = std::get_if<TextBuilder>(&values_)) {
    char digits[32];
    const auto end = number.is_float ? std::to_chars(digits, std::end(digits), number.real)
                                     : std::to_chars(digits, std::end(digits), number.integer);
    texts->append({digits, static_cast<std::size_t>(end.ptr - digits)});
    return true;
  }
  if (number.is_float || is_date_) return false;
  if (auto* integers = std::get_if<NumberBuilder<std::int64_t>>(&values_)) return append_integer(*integers, number.integer);
  return append_integer(std::get<NumberBuilder<std::int32_t>>(values_), number.integer);
}

void Column::append_null() {
  std::visit([](auto& values) { values.append_null(); }, values_);
}

std::size_t Column::values() const {
  return std::visit([](const auto& values) { return values.size(); }, values_);
}

void Column::truncate(std::size_t rows) {
  std::size_t kept = rows;
  if (spec_->multiple) {
    kept = lists_.size() > rows ? lists_.truncate(rows) : lists_.end();
  }
  if (values() > kept) std::visit([kept](auto& values) { values.truncate(kept); }, values_);
}

std::shared_ptr<const ArrowData> Column::finish(std::shared_ptr<const void> owner) const {
  const std::string name = spec_->multiple ? "item" : spec_->keyword;
  const std::shared_ptr<const ArrowData> values =
      std::visit([&](const auto& builder) { return pixels::finish(builder, spec_->format, name, owner); }, values_);
  if (!spec_->multiple) return values;
  return pixels::finish(lists_, "+l", spec_->keyword, owner, {values});
}

ColumnIndex::ColumnIndex(std::vector<ColumnSpec> specs) : specs_(std::move(specs)), slots_(kSlots, -1) {
  if (specs_.size() > kSlots / 2) throw std::length_error("more typed columns than expected");
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    std::size_t at = slot(specs_[i].tag);
    while (slots_[at] >= 0) at = (at + 1) % kSlots;
    slots_[at] = static_cast<std::int16_t>(i);
  }
}

}  // namespace pixels
