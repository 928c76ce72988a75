#include "numbers.hpp"

#include <clocale>
#include <cmath>
#include <cstdlib>
#include <string>
#if __has_include(<xlocale.h>)
#include <xlocale.h>  // where macOS declares strtod_l
#endif

namespace pixels {
namespace {

constexpr int kLargestExponent = 100000;  // far beyond doubles

bool is_digit(char character) { return character >= '0' && character <= '9'; }

// For what the exact short way below cannot do; `strtod` itself would heed the locale of the process.
double parse_slowly(const Decimal& decimal) {
  static const locale_t kPlain = newlocale(LC_ALL_MASK, "C", nullptr);
  std::string text(decimal.negative ? "-" : "");
  text.append(decimal.integer.empty() ? "0" : decimal.integer).append(".").append(decimal.fraction).append("e");
  text.append(std::to_string(decimal.exponent));
  return strtod_l(text.c_str(), nullptr, kPlain);
}

}  // namespace

bool parse_decimal(std::string_view text, Decimal& decimal) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto take_digits = [&at, end] {
    const char* const begin = at;
    while (at != end && is_digit(*at)) ++at;
    return std::string_view(begin, static_cast<std::size_t>(at - begin));
  };
  const auto take_sign = [&at, end] {
    if (at == end || (*at != '-' && *at != '+')) return false;
    return *at++ == '-';
  };

  decimal.negative = take_sign();
  decimal.integer = take_digits();
  const bool has_point = at != end && *at == '.';
  at += has_point;
  decimal.fraction = has_point ? take_digits() : std::string_view();
  decimal.exponent = 0;
  decimal.has_exponent = false;
  if (decimal.integer.empty() && decimal.fraction.empty()) return false;
  const bool has_leading_zero = decimal.integer.size() > 1 && decimal.integer.front() == '0';
  decimal.is_json = text.front() != '+' && !decimal.integer.empty() && !has_leading_zero &&
                    has_point != decimal.fraction.empty();
  while (!decimal.integer.empty() && decimal.integer.front() == '0') decimal.integer.remove_prefix(1);
  if (at == end) return true;

  if (*at != 'e' && *at != 'E') return false;
  ++at;
  decimal.has_exponent = true;
  const bool negative = take_sign();
  const std::string_view digits = take_digits();
  for (const char digit : digits) {
    if (decimal.exponent < kLargestExponent) decimal.exponent = decimal.exponent * 10 + (digit - '0');
  }
  if (negative) decimal.exponent = -decimal.exponent;
  return at == end && !digits.empty();
}

std::optional<double> to_double(const Decimal& decimal) {
  // Up to 2^53 an integer is exact as a double, and so are powers of ten up to 22: one rounding, the right one.
  static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const std::size_t digits = decimal.integer.size() + decimal.fraction.size();
  const int exponent = decimal.exponent - static_cast<int>(decimal.fraction.size());
  if (digits <= 18 && exponent >= -22 && exponent <= 22) {
    std::uint64_t mantissa = 0;
    for (const char digit : decimal.integer) mantissa = mantissa * 10 + static_cast<std::uint64_t>(digit - '0');
    for (const char digit : decimal.fraction) mantissa = mantissa * 10 + static_cast<std::uint64_t>(digit - '0');
    if (mantissa <= std::uint64_t{1} << 53) {
      const auto exact = static_cast<double>(mantissa);
      const double value = exponent < 0 ? exact / kPowers[-exponent] : exact * kPowers[exponent];
      return decimal.negative ? -value : value;
    }
  }
  const double value = parse_slowly(decimal);
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::int64_t> to_integer(const Decimal& decimal) {
  if (decimal.has_exponent) {
    constexpr double kExactIntegers = 9007199254740992.0;  // 2^53
    const std::optional<double> value = to_double(decimal);
    if (!value || std::trunc(*value) != *value || std::fabs(*value) > kExactIntegers) return std::nullopt;
    return static_cast<std::int64_t>(*value);
  }
  if (decimal.fraction.find_first_not_of('0') != std::string_view::npos) return std::nullopt;
  if (decimal.integer.size() > 19) return std::nullopt;
  std::uint64_t magnitude = 0;  // 19 digits fit
  for (const char digit : decimal.integer) magnitude = magnitude * 10 + static_cast<std::uint64_t>(digit - '0');
  if (magnitude > INT64_MAX) return std::nullopt;
  const auto value = static_cast<std::int64_t>(magnitude);
  return decimal.negative ? -value : value;
}

std::optional<std::int32_t> parse_date(std::string_view text) {
  const bool dotted = text.size() == 10 && text[4] == '.' && text[7] == '.';
  if (!dotted && text.size() != 8) return std::nullopt;
  const auto number = [text](std::size_t at, std::size_t digits) {
    int value = 0;
    for (const char digit : text.substr(at, digits)) value = is_digit(digit) ? value * 10 + (digit - '0') : 1 << 20;
    return value;
  };
  const int year = number(0, 4), month = number(dotted ? 5 : 4, 2), day = number(dotted ? 8 : 6, 2);
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1) return std::nullopt;
  if (day > kDays[month - 1] + (leap && month == 2)) return std::nullopt;
  // Count from March, so that the leap day is the last of its year.
  const int shifted_year = month > 2 ? year : year - 1;
  const int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return 365 * shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 + day_of_year - 719468;
}

void write_decimal(JsonBuffer& json, const Decimal& decimal, std::string_view text) {
  if (decimal.is_json) return json.put(text);
  if (decimal.negative) json.put('-');
  json.put(decimal.integer.empty() ? "0" : decimal.integer);
  if (!decimal.fraction.empty()) {
    json.put('.');
    json.put(decimal.fraction);
  }
  if (decimal.has_exponent) {
    json.put('e');
    json.number(decimal.exponent);
  }
}

}  // namespace pixels
