#include "json_object.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace pixels {
namespace {

// An attribute begins with its key, "GGGGEEEE"; digits and capital letters sort as the numbers that they write.
std::string_view key(std::string_view attribute) { return attribute.substr(0, 10); }

std::uint32_t tag(std::string_view attribute) {
  return static_cast<std::uint32_t>(std::stoul(std::string(attribute.substr(1, 8)), nullptr, 16));
}

// Takes the inside of an object apart at its own commas, not those of inner objects, arrays and strings.
std::vector<std::string_view> split(std::string_view object) {
  std::vector<std::string_view> attributes;
  std::size_t begin = 0;
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < object.size(); ++at) {
    const char character = object[at];
    if (in_string) {
      if (character == '\\') ++at;
      if (character == '"') in_string = false;
    } else if (character == '"') {
      in_string = true;
    } else if (character == '{' || character == '[') {
      ++depth;
    } else if (character == '}' || character == ']') {
      --depth;
    } else if (character == ',' && depth == 0) {
      attributes.push_back(object.substr(begin, at - begin));
      begin = at + 1;
    }
  }
  attributes.push_back(object.substr(begin));
  return attributes;
}

}  // namespace

std::vector<std::uint32_t> sort_attributes(JsonBuffer& json, std::size_t begin) {
  const std::string unsorted(json.text(begin));
  std::vector<std::string_view> attributes = split(unsorted);
  std::stable_sort(attributes.begin(), attributes.end(),
                   [](std::string_view one, std::string_view other) { return key(one) < key(other); });
  json.truncate(begin);
  std::vector<std::uint32_t> repeated;
  for (std::size_t i = 0; i < attributes.size(); ++i) {
    if (i + 1 < attributes.size() && key(attributes[i + 1]) == key(attributes[i])) {
      repeated.push_back(tag(attributes[i]));
      continue;
    }
    if (json.size() > begin) json.put(',');
    json.put(attributes[i]);
  }
  return repeated;
}

}  // namespace pixels
