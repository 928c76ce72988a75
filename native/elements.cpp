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

std::string tag_text(std::uint32_t tag) {
  std::string text(8, '0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = "0123456789ABCDEF"[tag >> (28 - 4 * i) & 15];
  return text;
}

bool ElementReader::read_unusual(const std::uint8_t* header, std::uint64_t end, bool implicit, Element& element) const {
  // Items and delimiters have no VR, and some writers switch to implicit VR on the way.
  if (implicit || element.tag >> 16 == 0xFFFE || !could_be_vr(header + 4)) {
    element.vr = Vr::none;
    element.traits = &kNoTraits;
    element.length = order_.u32(header + 4);
    return true;
  }
  // VRs that are added to the standard have the long form (PS3.5 6.2), recognisable by its reserved zeros.
  element.length = order_.u16(header + 6);
  return element.length != 0 || read_long_length(end, element);
}

bool ElementReader::read_long_length(std::uint64_t end, Element& element) const {
  if (end - element.value < 4) return false;
  element.length = order_.u32(source_->view(element.value, 4));
  element.value += 4;
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
  while (read(position, end, true, item) && items_left_ > 0) {
    --items_left_;
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
