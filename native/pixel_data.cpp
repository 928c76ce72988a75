#include "pixel_data.hpp"

#include <algorithm>
#include <functional>

namespace pixels {
namespace {

// Item headers this near to each other are read through the window, farther ones one by one.
constexpr std::uint64_t kNear = 16 * 1024;

// In how many of a fragment's last bytes the end marker of JPEG is looked for; padding may follow it.
constexpr std::size_t kTail = 10;

}  // namespace

std::optional<std::uint64_t> FrameFacts::expected_bytes() const {
  if (!rows || !columns || !bits_allocated) return std::nullopt;
  const std::uint64_t samples_per_frame = std::uint64_t{*rows} * *columns * (is_422 ? 2 : samples.value_or(1));
  std::uint64_t bits;
  if (__builtin_mul_overflow(samples_per_frame, std::uint64_t{*bits_allocated} * frames, &bits)) return std::nullopt;
  return bits / 8 + (bits % 8 != 0);
}

void PixelDataLocator::locate(const Element& element) {
  if (!element.undefined_length()) return check_native(element);
  batch_.set_pixel_data(element.tag, element.value, std::nullopt);
  if (reader_.source().sequential()) return;  // walking would inflate all pixels

  const std::uint64_t end = reader_.source().size();
  Element table;  // the first item: the basic offset table, which may be empty
  if (!reader_.read(element.value, end, true, table) || table.tag != kItem || table.length > end - table.value) {
    return report("has no offset table where its fragments should begin");
  }
  const std::uint64_t first_item = table.value + table.length;
  if (facts_.extended_offsets.length > 0 && use_extended_offsets(first_item)) return;
  const std::vector<Fragment> fragments = walk(first_item);
  if (table.length >= 4 && assign_by_offsets(fragments, {table.value, table.length})) return;
  assign_by_count(fragments);
}

void PixelDataLocator::check_native(const Element& element) {
  const std::uint64_t available = reader_.source().size() - element.value;
  const std::uint64_t length = std::min<std::uint64_t>(element.length, available);
  batch_.set_pixel_data(element.tag, element.value, length);
  if (length < element.length) {
    report("ends after " + std::to_string(length) + " of " + std::to_string(element.length) + " bytes");
    return;
  }
  const std::optional<std::uint64_t> expected = facts_.expected_bytes();
  if (expected && length < *expected) {
    report("has " + std::to_string(length) + " bytes where its frames need " + std::to_string(*expected));
  }
}

std::vector<std::uint64_t> PixelDataLocator::read_numbers(FrameFacts::Extent extent, std::size_t bytes_each) const {
  std::vector<std::uint8_t> bytes(extent.length / bytes_each * bytes_each);
  if (!bytes.empty()) reader_.source().copy(extent.offset, bytes.data(), bytes.size());
  std::vector<std::uint64_t> numbers;
  for (std::size_t at = 0; at < bytes.size(); at += bytes_each) {
    const std::uint8_t* number = bytes.data() + at;
    numbers.push_back(bytes_each == 8 ? reader_.order().u64(number) : reader_.order().u32(number));
  }
  return numbers;
}

bool PixelDataLocator::use_extended_offsets(std::uint64_t first_item) {
  const std::uint64_t size = reader_.source().size(), table_bytes = std::uint64_t{facts_.frames} * 8;
  bool fits = facts_.extended_offsets.length == table_bytes && facts_.extended_lengths.length == table_bytes;
  std::vector<std::uint64_t> offsets, lengths;
  if (fits) {
    offsets = read_numbers(facts_.extended_offsets, 8);
    lengths = read_numbers(facts_.extended_lengths, 8);
  }
  for (std::size_t i = 0; fits && i < offsets.size(); ++i) {
    fits = offsets[i] <= size && lengths[i] <= size && first_item + 8 + offsets[i] + lengths[i] <= size;
  }
  if (!fits) {
    report("has an extended offset table that does not fit its frames");
    return false;
  }
  // With this table, each frame is one fragment.
  for (std::size_t i = 0; i < offsets.size(); ++i) add(i, {0, first_item + offsets[i] + 8, lengths[i]});
  return true;
}

std::vector<PixelDataLocator::Fragment> PixelDataLocator::walk(std::uint64_t first_item) {
  const std::uint64_t end = reader_.source().size();
  std::vector<Fragment> fragments;
  std::uint64_t position = first_item, last_length = 0;
  while (end - position >= 8) {
    // Eight bytes before the object's end there is room for nothing but the delimiter: one read less.
    if (end - position == 8 && !fragments.empty()) return fragments;
    std::uint8_t far_header[8];
    const std::uint8_t* header = far_header;
    if (last_length <= kNear) {
      header = reader_.source().view(position, 8);
    } else {
      reader_.source().copy(position, far_header, 8);
    }
    const std::uint32_t tag = reader_.order().tag(header), length = reader_.order().u32(header + 4);
    if (tag == kSequenceDelimiter) return fragments;
    if (tag != kItem || length == kUndefinedLength) {
      report("has something else than a fragment at byte " + std::to_string(position));
      return fragments;
    }
    const std::uint64_t available = std::min<std::uint64_t>(length, end - position - 8);
    fragments.push_back({position, position + 8, available});
    if (available < length) break;
    position += 8 + available;
    last_length = length;
  }
  report("ends without its delimiter");
  return fragments;
}

bool PixelDataLocator::assign_by_offsets(const std::vector<Fragment>& fragments, FrameFacts::Extent table) {
  if (fragments.empty()) return false;
  std::vector<std::uint64_t> offsets;
  if (table.length / 4 <= fragments.size()) offsets = read_numbers(table, 4);
  const std::uint64_t first_item = fragments.front().item;
  const auto begins_fragment = [&](std::uint64_t offset) {
    return std::binary_search(fragments.begin(), fragments.end(), Fragment{first_item + offset, 0, 0},
                              [](const Fragment& one, const Fragment& other) { return one.item < other.item; });
  };
  const bool ascending = std::adjacent_find(offsets.begin(), offsets.end(), std::greater_equal<>()) == offsets.end();
  const bool fits = !offsets.empty() && offsets.front() == 0 && ascending &&
                    std::all_of(offsets.begin(), offsets.end(), begins_fragment);
  if (!fits) {
    report("has an offset table that does not fit its fragments");
    return false;
  }
  if (offsets.size() != facts_.frames) {
    report("has an offset table of " + std::to_string(offsets.size()) + " frames where Number of Frames is " +
            std::to_string(facts_.frames));
  }
  std::size_t frame = 0;
  for (const Fragment& fragment : fragments) {
    if (frame + 1 < offsets.size() && fragment.item - first_item >= offsets[frame + 1]) ++frame;
    add(frame, fragment);
  }
  return true;
}

void PixelDataLocator::assign_by_count(const std::vector<Fragment>& fragments) {
  const std::size_t frames = facts_.frames;
  if (fragments.size() > frames && frames > 1) return assign_by_end_marker(fragments);
  const bool known = frames == 1 || fragments.size() == frames;
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    add(known ? std::optional(frames == 1 ? 0 : i) : std::nullopt, fragments[i]);
  }
  if (!known || fragments.empty()) {
    report("has " + std::to_string(fragments.size()) + " fragments for " + std::to_string(frames) + " frames");
  }
}

void PixelDataLocator::assign_by_end_marker(const std::vector<Fragment>& fragments) {
  std::size_t frame = 0;
  for (const Fragment& fragment : fragments) {
    add(frame < facts_.frames ? std::optional(frame) : std::nullopt, fragment);
    if (ends_frame(fragment)) ++frame;
  }
  if (frame != facts_.frames) {
    report("has end markers of " + std::to_string(frame) + " frames where Number of Frames is " +
            std::to_string(facts_.frames));
  }
}

bool PixelDataLocator::ends_frame(const Fragment& fragment) const {
  std::uint8_t tail[kTail];
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(fragment.length, kTail));
  reader_.source().copy(fragment.offset + fragment.length - length, tail, length);
  static constexpr std::uint8_t kEndMarker[] = {0xFF, 0xD9};
  return std::search(tail, tail + length, std::begin(kEndMarker), std::end(kEndMarker)) != tail + length;
}

void PixelDataLocator::add(std::optional<std::size_t> frame, const Fragment& fragment) {
  std::optional<std::int32_t> number;
  if (frame) number = static_cast<std::int32_t>(*frame);
  batch_.add_fragment(number, fragment.offset, fragment.length);
}

}  // namespace pixels
