// Where the pixel data and each of its frames lie (PS3.5 Annex A.4, PS3.3 C.7.6.3.1.8).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "batch.hpp"
#include "elements.hpp"

namespace pixels {

// What the attributes before the pixel data say about it.
struct FrameFacts {
  struct Extent {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };

  std::uint32_t frames = 1;
  std::optional<std::uint32_t> rows, columns, samples, bits_allocated;
  bool is_422 = false;           // chrominance at half the width (PS3.3 C.7.6.3.1.2)
  Extent extended_offsets;       // (7FE0,0001)
  Extent extended_lengths;       // (7FE0,0002)

  // Bytes of uncompressed pixel data, if all that matters is known.
  std::optional<std::uint64_t> expected_bytes() const;
};

// Finds the pixel data of an element and, if it is encapsulated, the fragments of each frame.
class PixelDataLocator {
 public:
  PixelDataLocator(const ElementReader& reader, const FrameFacts& facts, HeaderBatch& batch)
      : reader_(reader), facts_(facts), batch_(batch) {}

  void locate(const Element& element);

  // What was wrong with it.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Fragment {
    std::uint64_t item;  // offset of the item's tag
    std::uint64_t offset;
    std::uint64_t length;
  };

  void report(std::string problem) { problems_.push_back(std::move(problem)); }
  void check_native(const Element& element);
  std::vector<std::uint64_t> read_numbers(FrameFacts::Extent extent, std::size_t bytes_each) const;
  bool use_extended_offsets(std::uint64_t first_item);
  std::vector<Fragment> walk(std::uint64_t first_item);
  bool assign_by_offsets(const std::vector<Fragment>& fragments, FrameFacts::Extent table);
  void assign_by_count(const std::vector<Fragment>& fragments);
  void assign_by_end_marker(const std::vector<Fragment>& fragments);
  bool ends_frame(const Fragment& fragment) const;
  void add(std::optional<std::size_t> frame, const Fragment& fragment);

  const ElementReader& reader_;
  const FrameFacts& facts_;
  HeaderBatch& batch_;
  std::vector<std::string> problems_;
};

}  // namespace pixels
