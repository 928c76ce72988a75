// Numbers and dates written as text: DS, IS and DA (PS3.5 section 6.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "json.hpp"

namespace pixels {

// A decimal number taken apart; the parts point into the text.
struct Decimal {
  bool negative = false;
  std::string_view integer;   // without leading zeros, empty for zero
  std::string_view fraction;
  int exponent = 0;
  bool has_exponent = false;
  bool is_json = false;  // whether JSON writes the number just as it was written
};

// Understands what floating point numbers look like, with or without digits before or after the point; false for
// anything else.
bool parse_decimal(std::string_view text, Decimal& decimal);

// The nearest double; nothing if it is beyond the range of doubles.
std::optional<double> to_double(const Decimal& decimal);

// The integer; nothing if there is a fraction or it needs more than 64 bits.
std::optional<std::int64_t> to_integer(const Decimal& decimal);

// Days since 1970-01-01 of YYYYMMDD, or of YYYY.MM.DD as before DICOM 3.
std::optional<std::int32_t> parse_date(std::string_view text);

// Appends the number; `text` is what it was parsed from.
void write_decimal(JsonBuffer& json, const Decimal& decimal, std::string_view text);

}  // namespace pixels
