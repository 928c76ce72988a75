#include "elements.hpp"

#include <algorithm>

namespace pixels {
namespace {

// Two letters that no VR has: a VR of the future, or nonsense. Anything else in their place is a length.
bool could_be_vr(const std::uint8_t* letters) {
  const int code = letters[0] << 8 | letters[1];
  return code >= ('A' << 8 | 'A') && code <= ('Z' << 8 | 'Z');
}

bool is_upper_case(std::uint8_t byte) { return byte > 0x40 && byte < 0x5B; }

}  // namespace

bool ElementReader::read(std::uint64_t position, std::uint64_t end, bool implicit, Element& element) const {
  if (position > end || end - position < 8) return false;
  const auto available = static_cast<std::size_t>(std::min<std::uint64_t>(end - position, 12));
  const std::uint8_t* header = source_->view(position, available);
  element.tag = order_.tag(header);
  element.vr = Vr::none;
  element.value = position + 8;
  if (implicit || element.tag >> 16 == 0xFFFE) {
    element.length = order_.u32(header + 4);
    return true;
  }
  const Vr vr = vr_of(header[4], header[5]);
  const VrTraits traits = traits_of(vr);
  const std::uint16_t short_length = order_.u16(header + 6);
  // VRs that are added to the standard have the long form (PS3.5 6.2), recognisable by its reserved zeros.
  const bool unknown = traits.kind == ValueKind::unknown;
  if (unknown && !could_be_vr(header + 4)) {  // some writers switch to implicit VR on the way
    element.length = order_.u32(header + 4);
    return true;
  }
  element.vr = vr;
  if (traits.long_length || (unknown && short_length == 0)) {
    if (available < 12) return false;
    element.length = order_.u32(header + 8);
    element.value = position + 12;
  } else {
    element.length = short_length;
  }
  return true;
}

bool ElementReader::looks_implicit(std::uint64_t position, std::uint64_t end, bool otherwise) const {
  if (position > end || end - position < 6) return otherwise;
  const std::uint8_t* header = source_->view(position, 6);
  return !(is_upper_case(header[4]) && is_upper_case(header[5]));
}

bool ElementReader::is_item(std::uint64_t position, std::uint64_t end) const {
  return position <= end && end - position >= 4 && order_.tag(source_->view(position, 4)) == kItem;
}

std::optional<std::uint64_t> ElementReader::find_delimiter(std::uint64_t position, std::uint64_t end) const {
  // Encapsulated values are made of items, in which the delimiter's bytes may occur by chance.
  if (const auto delimiter = delimiter_after_items(position, end)) return delimiter;
  constexpr std::size_t kStep = 32 * 1024;
  static constexpr std::uint8_t kLittle[] = {0xFE, 0xFF, 0xDD, 0xE0}, kBig[] = {0xFF, 0xFE, 0xE0, 0xDD};
  const std::uint8_t* pattern = order_.big_endian() ? kBig : kLittle;
  while (end - position >= 8) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(end - position, kStep));
    const std::uint8_t* bytes = source_->view(position, length);
    const std::uint8_t* found = std::search(bytes, bytes + length, pattern, pattern + 4);
    if (found != bytes + length) return position + static_cast<std::uint64_t>(found - bytes);
    position += length - 3;  // a delimiter may lie across two steps
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ElementReader::delimiter_after_items(std::uint64_t position, std::uint64_t end) const {
  Element item;
  while (read(position, end, true, item)) {
    if (item.tag == kSequenceDelimiter) return position;
    if (item.tag != kItem || item.undefined_length() || item.length > end - item.value) return std::nullopt;
    position = item.value + item.length;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ElementReader::skip_sequence(std::uint64_t position, std::uint64_t end) const {
  // Only undefined lengths open a level that must be closed again; all else is jumped over.
  std::uint64_t open = 1;
  Element element;
  while (open > 0) {
    if (!read(position, end, false, element)) return std::nullopt;
    position = element.value;
    if (element.tag == kSequenceDelimiter || element.tag == kItemDelimiter) {
      --open;
    } else if (element.undefined_length()) {
      ++open;
    } else if (element.length > end - position) {
      return std::nullopt;
    } else {
      position += element.length;
    }
  }
  return position;
}

}  // namespace pixels
