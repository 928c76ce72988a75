#include "columns.hpp"

#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
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

}  // namespace

Column::Column(const ColumnSpec& spec) : spec_(&spec) {
  if (spec.format == "u") {
    type_ = Type::texts;
  } else if (spec.format == "tdD") {
    type_ = Type::days;
  } else if (spec.format == "i") {
    type_ = Type::integers32;
  } else if (spec.format == "l") {
    type_ = Type::integers64;
  } else if (spec.format == "g") {
    type_ = Type::reals;
  } else {
    throw std::invalid_argument("no column can be of the Arrow format " + spec.format);
  }
}

void Column::reserve(std::size_t rows) {
  with_values(*this, [rows](auto& values) { values.reserve(rows); });
  if (spec_->multiple) lists_.reserve(rows);
}

Fit Column::set_text(std::size_t row, Vr vr, std::string_view text) {
  clear_row(row);
  text = trim(text, Padding::around);
  if (text.empty()) return Fit::whole;
  bool more = true;
  do {
    std::string_view value = next_value(text, more);
    if (vr == Vr::PN) value = value.substr(0, value.find('='));
    value = trim(value, Padding::around);
    if (value.empty()) {
      append_null();
    } else if (!append_text(value)) {
      truncate(row);
      return Fit::none;
    }
  } while (more && spec_->multiple);
  return finish_row(!more);
}

Fit Column::set_numbers(std::size_t row, Vr vr, const std::uint8_t* bytes, std::size_t length, ByteOrder order) {
  clear_row(row);
  const std::size_t step = traits_of(vr).value_bytes;
  const std::size_t count = length / step;
  if (count == 0) return Fit::whole;
  const std::size_t wanted = spec_->multiple ? count : 1;
  for (std::size_t i = 0; i < wanted; ++i) {
    if (append_number(vr, bytes + i * step, order)) continue;
    truncate(row);
    return Fit::none;
  }
  return finish_row(wanted == count);
}

Fit Column::finish_row(bool all) {
  if (spec_->multiple) lists_.append(values(), true);
  ++rows_;
  return all ? Fit::whole : Fit::first_only;
}

bool Column::append_text(std::string_view value) {
  switch (type_) {
    case Type::texts: texts_.append(value); return true;
    case Type::days: {
      const std::optional<std::int32_t> days = parse_date(value);
      if (days) integers32_.append(*days);
      return days.has_value();
    }
    case Type::reals: {
      Decimal decimal;
      const std::optional<double> number = parse_decimal(value, decimal) ? to_double(decimal) : std::nullopt;
      if (number) reals_.append(*number);
      return number.has_value();
    }
    default: {
      Decimal decimal;
      const std::optional<std::int64_t> number = parse_decimal(value, decimal) ? to_integer(decimal) : std::nullopt;
      return number && append_integer(*number);
    }
  }
}

bool Column::append_integer(std::int64_t value) {
  if (type_ == Type::integers64) {
    integers64_.append(value);
    return true;
  }
  if (value < INT32_MIN || value > INT32_MAX) return false;
  integers32_.append(static_cast<std::int32_t>(value));
  return true;
}

bool Column::append_number(Vr vr, const std::uint8_t* bytes, ByteOrder order) {
  const Number number = read_number(vr, bytes, order);
  if (number.is_float && !std::isfinite(number.real)) return false;
  if (type_ == Type::reals) {
    reals_.append(number.real);
    return true;
  }
  if (type_ == Type::texts) {
    char digits[32];
    const auto end = number.is_float ? std::to_chars(digits, std::end(digits), number.real)
                                     : std::to_chars(digits, std::end(digits), number.integer);
    texts_.append({digits, static_cast<std::size_t>(end.ptr - digits)});
    return true;
  }
  return !number.is_float && type_ != Type::days && append_integer(number.integer);
}

void Column::append_null() {
  with_values(*this, [](auto& values) { values.append_null(); });
}

void Column::append_null_row() {
  if (spec_->multiple) {
    lists_.append(values(), false);
  } else {
    append_null();
  }
  ++rows_;
}

std::size_t Column::values() const {
  return with_values(*this, [](const auto& values) { return values.size(); });
}

void Column::truncate(std::size_t rows) {
  rows_ = rows;
  std::size_t kept = rows;
  if (spec_->multiple) kept = lists_.size() > rows ? lists_.truncate(rows) : lists_.end();
  if (values() != kept) with_values(*this, [kept](auto& values) { values.truncate(kept); });
}

std::shared_ptr<const ArrowData> Column::finish(std::shared_ptr<const void> owner) const {
  const std::string name = spec_->multiple ? "item" : spec_->keyword;
  const std::shared_ptr<const ArrowData> values =
      with_values(*this, [&](const auto& builder) { return pixels::finish(builder, spec_->format, name, owner); });
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
