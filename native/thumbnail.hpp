// Owns the way from the stored values of one frame to a small 8-bit picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pixels {

// Types of stored values, named as numpy does, all little endian.
enum class ValueType { u1, u2, i2, f4 };

// How the values of a frame lie in memory (PS3.5 section 8).
struct FrameLayout {
  std::size_t rows;
  std::size_t columns;
  std::size_t samples;  // of a pixel, beside each other: 1 grey, or 3 colours
  ValueType type;
  unsigned unused_bits;  // above the stored bits of an integer, and of no meaning

  std::size_t row_bytes() const;
};

// The stored values that become 0 and 255 in the picture.
struct Window {
  float black;
  float white;
};

struct PictureSize {
  std::size_t height;
  std::size_t width;
};

// Gives the rows of a frame. A pointer is good until the next call.
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual const std::uint8_t* row(std::size_t index) = 0;
};

// Averages areas of the windowed frame into a picture, row by row. Without a window, the least and the greatest of the
// values span it.
std::vector<std::uint8_t> shrink(RowSource& source, const FrameLayout& layout, std::optional<Window> window,
                                 bool inverted, PictureSize size);

}  // namespace pixels
