#include "recognition.hpp"

#include <cstring>

#include "elements.hpp"

namespace pixels {
namespace {

constexpr std::uint64_t kPreambleBytes = 128;
constexpr int kElementsToTrust = 3;

// Data sets begin with the file meta information, a media directory, or the identification of the instance.
bool may_come_first(std::uint32_t tag) {
  const std::uint32_t group = tag >> 16;
  return group == 0x0002 || group == 0x0004 || group == 0x0008;
}

bool is_plausible(Source& source, const Dictionary& dictionary, ByteOrder order, bool implicit) {
  const ElementReader reader(source, order);
  std::uint64_t position = 0;
  std::uint32_t last_tag = 0;
  for (int i = 0; i < kElementsToTrust; ++i) {
    Element element;
    if (i > 0 && position == source.size()) return true;
    if (!reader.read(position, source.size(), implicit, element)) return false;
    const bool is_group_length = (element.tag & 0xFFFF) == 0;
    const Vr expected = is_group_length ? Vr::UL : dictionary.public_vr(element.tag);
    if (expected == Vr::none || element.tag <= last_tag || (i == 0 && !may_come_first(element.tag))) return false;
    if (!implicit && element.vr != expected) return false;
    if (element.undefined_length()) return i > 0 && expected == Vr::SQ;
    if (element.length > source.size() - element.value) return false;
    last_tag = element.tag;
    position = element.value + element.length;
  }
  return true;
}

}  // namespace

std::optional<std::uint64_t> find_first_element(Source& source, const Dictionary& dictionary) {
  if (source.size() >= kPreambleBytes + 4 &&
      std::memcmp(source.view(0, kPreambleBytes + 4) + kPreambleBytes, "DICM", 4) == 0) {
    return kPreambleBytes + 4;
  }
  for (const bool big_endian : {false, true}) {
    for (const bool implicit : {false, true}) {
      if (is_plausible(source, dictionary, ByteOrder(big_endian), implicit)) return 0;
    }
  }
  return std::nullopt;
}

}  // namespace pixels
