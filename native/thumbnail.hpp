// Owns the way from the stored grey values of one frame to a small 8-bit picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pixels {

// Types of grey values, named as numpy does, all little endian.
enum class GreyType { u1, u2, i2, f4 };

// How the values of a frame lie in memory (PS3.5 section 8).
struct GreyLayout {
  std::size_t rows;
  std::size_t columns;
  GreyType type;
  unsigned unused_bits;  // above the stored bits of an integer, and of no meaning

  std::size_t row_bytes() const;
};

// The stored values that become black and white.
struct GreyWindow {
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
std::vector<std::uint8_t> shrink_grey(RowSource& source, const GreyLayout& layout, std::optional<GreyWindow> window,
                                      bool inverted, PictureSize size);

}  // namespace pixels
