#include "values.hpp"

#include <cmath>
#include <optional>

#include "numbers.hpp"
#include "text.hpp"

namespace pixels {
namespace {

constexpr std::string_view kOpenValue = ",\"Value\":[";

// What is padding in a text, and whether a backslash separates values (PS3.5 table 6.2-1).
struct TextRules {
  bool multiple;
  Padding whole;
  Padding each;
};

constexpr TextRules rules_of(Vr vr) {
  switch (vr) {
    case Vr::AE: return {true, Padding::none, Padding::space_around};
    case Vr::UI: return {true, Padding::trailing, Padding::space_around};
    case Vr::LO: case Vr::SH: case Vr::UC: return {true, Padding::none, Padding::trailing};
    case Vr::LT: case Vr::ST: case Vr::UT: return {false, Padding::none, Padding::trailing};
    case Vr::UR: return {false, Padding::none, Padding::trailing_space};
    default: return {true, Padding::trailing, Padding::none};
  }
}

// Calls `write` for each value, and writes null for an empty one.
template <typename Write>
void write_values(JsonBuffer& json, std::string_view text, Padding padding, Write write) {
  json.put(kOpenValue);
  bool more = true;
  for (bool first = true; more; first = false) {
    if (!first) json.put(',');
    const std::string_view value = trim(next_value(text, more), padding);
    if (value.empty()) {
      json.put("null");
    } else {
      write(value);
    }
  }
  json.put(']');
}

template <typename Write>
void write_array(JsonBuffer& json, std::size_t count, Write write) {
  json.put(kOpenValue);
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) json.put(',');
    write(i);
  }
  json.put(']');
}

bool is_lut_descriptor(std::uint32_t tag) {
  return tag == 0x00283002 || (tag >= 0x00281101 && tag <= 0x00281103);
}

}  // namespace

bool write_plain_text(JsonBuffer& json, Vr vr, std::string_view text) {
  const TextRules rules = rules_of(vr);
  text = trim(trim(text, rules.whole), rules.each);
  return text.empty() || json.plain_value(text);
}

void write_text(JsonBuffer& json, Vr vr, std::string_view text, unsigned traits) {
  const TextRules rules = rules_of(vr);
  text = trim(text, rules.whole);
  if (rules.multiple && (traits & kHasBackslashes) != 0) {
    const bool needs_escape = (traits & (kHasControls | kHasQuotes)) != 0;
    return write_values(json, text, rules.each, [&json, needs_escape](std::string_view value) {
      needs_escape ? json.string(value) : json.plain_string(value);
    });
  }
  text = trim(text, rules.each);
  if (text.empty()) return;
  json.put(kOpenValue);
  json.string(text);
  json.put(']');
}

void write_person_names(JsonBuffer& json, std::string_view text) {
  static constexpr std::string_view kGroups[] = {"\"Alphabetic\":", ",\"Ideographic\":", ",\"Phonetic\":"};
  text = trim(text, Padding::trailing);
  if (text.find_first_not_of('=') == std::string_view::npos) return;
  write_values(json, text, Padding::none, [&json](std::string_view name) {
    name = name.substr(0, name.find_last_not_of('=') + 1);
    if (name.empty()) return json.put("null");
    json.put('{');
    bool more = true;
    for (std::size_t i = 0; more && i < std::size(kGroups); ++i) {
      json.put(kGroups[i]);
      json.string(next_value(name, more, '='));
    }
    json.put('}');
  });
}

const char* write_decimals(JsonBuffer& json, std::string_view text) {
  text = trim(text, Padding::around);
  if (text.empty()) return nullptr;
  const char* problem = nullptr;
  const std::size_t start = json.size();
  write_values(json, text, Padding::around, [&](std::string_view value) {
    Decimal decimal;
    if (!parse_decimal(value, decimal)) {
      problem = "is not a decimal string";
    } else if ((decimal.has_exponent || decimal.integer.size() > 300) && !to_double(decimal)) {
      problem = "is beyond the range of numbers";
    } else {
      write_decimal(json, decimal, value);
    }
  });
  if (problem != nullptr) json.truncate(start);
  return problem;
}

const char* write_integers(JsonBuffer& json, std::string_view text) {
  text = trim(text, Padding::around);
  if (text.empty()) return nullptr;
  const char* problem = nullptr;
  bool unusable = false;
  const std::size_t start = json.size();
  write_values(json, text, Padding::around, [&](std::string_view value) {
    Decimal decimal;
    const bool is_number = parse_decimal(value, decimal);
    const std::optional<double> real = is_number && decimal.has_exponent ? to_double(decimal) : 0.0;
    if (!is_number || !real || std::fabs(*real) > 9e18) {
      problem = "is not an integer string";
      unusable = true;
    } else if (decimal.has_exponent) {
      json.number(static_cast<std::int64_t>(*real));
    } else {
      const bool has_fraction = decimal.fraction.find_first_not_of('0') != std::string_view::npos;
      if (has_fraction) problem = "has a fraction, which is cut off";
      if (decimal.negative && !decimal.integer.empty()) json.put('-');
      json.put(decimal.integer.empty() ? "0" : decimal.integer);
    }
  });
  if (unusable) json.truncate(start);
  return problem;
}

const char* write_numbers(JsonBuffer& json, std::uint32_t tag, Vr vr, const std::uint8_t* bytes, std::size_t length,
                          ByteOrder order) {
  const std::size_t step = traits_of(vr).value_bytes;
  const std::size_t count = length / step;
  if (length % step != 0) return "has a length that does not fit its VR";
  if (count == 0) return nullptr;
  const char* problem = nullptr;
  const auto write_real = [&](double value) {
    if (std::isfinite(value)) {
      json.number(value);
    } else {
      json.put("null");
      problem = "holds numbers that are not finite";
    }
  };
  write_array(json, count, [&](std::size_t i) {
    const std::uint8_t* value = bytes + i * step;
    switch (vr) {
      case Vr::US: return json.number(order.u16(value));
      case Vr::UL: return json.number(order.u32(value));
      case Vr::SL: return json.number(static_cast<std::int32_t>(order.u32(value)));
      case Vr::UV: return json.number(order.u64(value));
      case Vr::SV: return json.number(static_cast<std::int64_t>(order.u64(value)));
      case Vr::FL: return write_real(order.f32(value));
      case Vr::FD: return write_real(order.f64(value));
      default: break;
    }
    int number = static_cast<std::int16_t>(order.u16(value));  // SS
    // The first value, a number of entries, is unsigned whatever the VR is (PS3.3 C.11.1.1).
    if (number < 0 && i == 0 && count > 1 && is_lut_descriptor(tag)) number += 65536;
    json.number(number);
  });
  return problem;
}

const char* write_tags(JsonBuffer& json, const std::uint8_t* bytes, std::size_t length, ByteOrder order) {
  if (length >= 4) {
    write_array(json, length / 4, [&](std::size_t i) {
      json.put('"');
      json.hex(order.tag(bytes + i * 4));
      json.put('"');
    });
  }
  return length % 4 == 0 ? nullptr : "has a length that does not fit its VR";
}

}  // namespace pixels
