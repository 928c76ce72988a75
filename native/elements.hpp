// Data elements as they are encoded: headers, items, delimiters (PS3.5 sections 7.1 and 7.5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "byte_order.hpp"
#include "source.hpp"
#include "vr.hpp"

namespace pixels {

inline constexpr std::uint32_t kItem = 0xFFFEE000;
inline constexpr std::uint32_t kItemDelimiter = 0xFFFEE00D;
inline constexpr std::uint32_t kSequenceDelimiter = 0xFFFEE0DD;
inline constexpr std::uint32_t kUndefinedLength = 0xFFFFFFFF;

inline bool is_pixel_data(std::uint32_t tag) {
  return tag == 0x7FE00010 || tag == 0x7FE00008 || tag == 0x7FE00009;
}
inline bool is_private(std::uint32_t tag) { return (tag >> 16 & 1) != 0; }
inline bool is_private_creator(std::uint32_t tag) {
  return is_private(tag) && (tag & 0xFFFF) >= 0x10 && (tag & 0xFFFF) < 0x100;
}

// Whether values of other elements are read in the light of this one.
inline bool is_context(std::uint32_t tag) {
  return tag == 0x00080005 || tag == 0x00280103 || tag == 0x00283002 || tag == 0x54001004 || is_private_creator(tag);
}

// The same, or something about the image or the encoding depends on it.
inline bool is_notable(std::uint32_t tag) {
  const std::uint32_t group = tag >> 16;
  return group == 0x0028 || group == 0x0002 || is_context(tag);
}

// A tag as DICOM JSON writes it, GGGGEEEE.
std::string tag_text(std::uint32_t tag);

struct Element {
  std::uint32_t tag = 0;
  Vr vr = Vr::none;  // as encoded; none in implicit VR
  const VrTraits* traits = &kNoTraits;
  std::uint32_t length = 0;  // as encoded
  std::uint64_t value = 0;   // offset of the value

  bool undefined_length() const { return length == kUndefinedLength; }
};

// Reads the structure of a data set and leaves values alone.
class ElementReader {
 public:
  ElementReader(Source& source, ByteOrder order) : source_(&source), order_(order), items_left_(source.size() / 8) {}

  Source& source() const { return *source_; }
  ByteOrder order() const { return order_; }

  // The element whose header begins at `position`, which is not beyond `end`; false if the header does not end there.
  bool read(std::uint64_t position, std::uint64_t end, bool implicit, Element& element) const {
    if (end - position < 8) return false;
    const std::uint8_t* header = source_->view(position, 8);
    element.tag = order_.tag(header);
    element.vr = vr_of(header[4], header[5]);
    element.value = position + 8;
    element.traits = &traits_of(element.vr);
    if (implicit || element.traits->kind == ValueKind::unknown || element.tag >> 16 == 0xFFFE) {
      return read_unusual(header, end, implicit, element);
    }
    element.length = order_.u16(header + 6);
    return !element.traits->long_length || read_long_length(end, element);
  }

  // Whether the data set at `position` is in implicit VR, judged by its first element as pydicom does.
  bool looks_implicit(std::uint64_t position, std::uint64_t end, bool otherwise) const;

  bool is_item(std::uint64_t position, std::uint64_t end) const;

  // Where a value of undefined length that is no sequence ends: at its delimiter.
  std::optional<std::uint64_t> find_delimiter(std::uint64_t position, std::uint64_t end) const;

  // What follows a sequence of undefined length, however deep it nests.
  std::optional<std::uint64_t> skip_sequence(std::uint64_t position, std::uint64_t end) const;

 private:
  bool read_unusual(const std::uint8_t* header, std::uint64_t end, bool implicit, Element& element) const;
  bool read_long_length(std::uint64_t end, Element& element) const;
  std::optional<std::uint64_t> delimiter_after_items(std::uint64_t position, std::uint64_t end) const;

  Source* source_;
  ByteOrder order_;

  // How many more items may be walked over in search of delimiters: an honest object has no more than fit into it.
  mutable std::uint64_t items_left_;
};

}  // namespace pixels
