#include "thumbnail.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace nb = nanobind;

namespace pixels {
namespace {

// Of the rows under one row of the picture, so many are read at most: more cost time and change nothing visible.
constexpr std::size_t kRowsPerPictureRow = 4;

// Consecutive rows are read in strips of about this size, which stay in the processor's cache until they are used.
constexpr std::size_t kStripBytes = 128 * 1024;

// Loads values with the stored bits moved to the top, where the sign is that of the highest stored bit and the bits
// without meaning are gone. That makes the values `times` as large.
template <typename Value>
struct Loader {
  using value_type = Value;
  unsigned times;

  Value operator()(const std::uint8_t* row, std::size_t column) const {
    Value value;
    std::memcpy(&value, row + column * sizeof(Value), sizeof(Value));
    if constexpr (std::is_integral_v<Value>) value = static_cast<Value>(static_cast<unsigned>(value) * times);
    return value;
  }
};

// Calls `use` with the loader of the layout's values, so that its loops are compiled for every type.
template <typename Use>
void with_loader(const GreyLayout& layout, Use use) {
  const unsigned times = 1U << layout.unused_bits;
  switch (layout.type) {
    case GreyType::u1:
      return use(Loader<std::uint8_t>{times});
    case GreyType::u2:
      return use(Loader<std::uint16_t>{times});
    case GreyType::i2:
      return use(Loader<std::int16_t>{times});
    case GreyType::f4:
      return use(Loader<float>{1});
  }
}

// The part of a frame's rows (or columns) under one row (or column) of the picture.
struct Span {
  std::size_t first;
  std::size_t last;
  float cut_from_first;  // how much of the first and of the last lies outside
  float cut_from_last;
  float share;  // of one whole row in the span

  Span(std::size_t index, std::size_t frame_edge, std::size_t picture_edge) {
    const auto begin = static_cast<double>(index * frame_edge) / static_cast<double>(picture_edge);
    const auto end = static_cast<double>((index + 1) * frame_edge) / static_cast<double>(picture_edge);
    first = static_cast<std::size_t>(begin);
    last = static_cast<std::size_t>(std::ceil(end)) - 1;
    cut_from_first = static_cast<float>(begin - static_cast<double>(first));
    cut_from_last = static_cast<float>(static_cast<double>(last + 1) - end);
    share = static_cast<float>(1 / (end - begin));
  }

  float mean(const float* values) const {
    float sum = -cut_from_first * values[first] - cut_from_last * values[last];
    for (std::size_t i = first; i <= last; ++i) sum += values[i];
    return sum * share;
  }

  // Calls `use(row, weight)` for the rows that stand for the span; the weights sum up to 1.
  template <typename Use>
  void for_rows(Use use) const {
    const std::size_t count = last - first + 1;
    if (count > kRowsPerPictureRow) {
      for (std::size_t i = 0; i < kRowsPerPictureRow; ++i) {
        use(first + (2 * i + 1) * count / (2 * kRowsPerPictureRow), 1.0F / kRowsPerPictureRow);
      }
      return;
    }
    for (std::size_t row = first; row <= last; ++row) {
      float covered = 1;
      if (row == first) covered -= cut_from_first;
      if (row == last) covered -= cut_from_last;
      use(row, covered * share);
    }
  }
};

std::vector<Span> spans(std::size_t frame_edge, std::size_t picture_edge) {
  std::vector<Span> all;
  all.reserve(picture_edge);
  for (std::size_t i = 0; i < picture_edge; ++i) all.emplace_back(i, frame_edge, picture_edge);
  return all;
}

// The loops over values are functions of their own with plain parameters: compilers see no alias, and vectorize.

template <typename Load>
void add_greys(Load load, const std::uint8_t* row, std::size_t columns, GreyWindow window, float weight, float* sums) {
  const float white = 255 * weight;
  const float scale = window.white == window.black ? 0 : white / (window.white - window.black);
  for (std::size_t x = 0; x < columns; ++x) {
    const float grey = (static_cast<float>(load(row, x)) - window.black) * scale;
    // In this order of arguments, what is not a number becomes black.
    sums[x] += std::min(std::max(0.0F, grey), white);
  }
}

template <typename Load, typename Value = typename Load::value_type>
std::pair<Value, Value> widened(std::pair<Value, Value> range, Load load, const std::uint8_t* row,
                                std::size_t columns) {
  auto [least, greatest] = range;
  for (std::size_t x = 0; x < columns; ++x) {
    const Value value = load(row, x);
    least = value < least ? value : least;
    greatest = value > greatest ? value : greatest;
  }
  return {least, greatest};
}

// The window from the least to the greatest value in the rows that the picture is made of.
template <typename Load, typename Value = typename Load::value_type>
GreyWindow full_window(RowSource& source, std::size_t columns, const std::vector<Span>& down, Load load) {
  std::pair<Value, Value> range{std::numeric_limits<Value>::max(), std::numeric_limits<Value>::lowest()};
  for (const Span& span : down) {
    span.for_rows([&](std::size_t row, float) { range = widened(range, load, source.row(row), columns); });
  }
  return {static_cast<float>(range.first), static_cast<float>(range.second)};
}

class MemoryRows : public RowSource {
 public:
  MemoryRows(const void* frame, std::size_t row_bytes)
      : frame_(static_cast<const std::uint8_t*>(frame)), row_bytes_(row_bytes) {}

  const std::uint8_t* row(std::size_t index) override { return frame_ + index * row_bytes_; }

 private:
  const std::uint8_t* frame_;
  std::size_t row_bytes_;
};

class FileRows : public RowSource {
 public:
  FileRows(int file, std::uint64_t offset, const GreyLayout& layout, PictureSize size)
      : file_(file), offset_(offset), rows_(layout.rows), row_bytes_(layout.row_bytes()) {
    const bool rows_are_left_out = layout.rows > kRowsPerPictureRow * size.height;
    strip_rows_ = rows_are_left_out ? 1 : std::clamp<std::size_t>(kStripBytes / row_bytes_, 1, rows_);
    strip_.resize(strip_rows_ * row_bytes_);
  }

  const std::uint8_t* row(std::size_t index) override {
    if (index < strip_begin_ || index >= strip_end_) {
      strip_begin_ = index;
      strip_end_ = std::min(index + strip_rows_, rows_);
      read((strip_end_ - strip_begin_) * row_bytes_, offset_ + index * row_bytes_);
    }
    return strip_.data() + (index - strip_begin_) * row_bytes_;
  }

 private:
  void read(std::size_t bytes, std::uint64_t offset) {
    std::size_t done = 0;
    while (done < bytes) {
      const ssize_t got = ::pread(file_, strip_.data() + done, bytes - done, static_cast<off_t>(offset + done));
      if (got < 0) throw std::runtime_error(std::strerror(errno));
      if (got == 0) throw std::runtime_error("the object ends within the pixel data");
      done += static_cast<std::size_t>(got);
    }
  }

  int file_;
  std::uint64_t offset_;
  std::size_t rows_;
  std::size_t row_bytes_;
  std::size_t strip_rows_;
  std::size_t strip_begin_ = 0;
  std::size_t strip_end_ = 0;
  std::vector<std::uint8_t> strip_;
};

std::size_t bytes_of(GreyType type) {
  if (type == GreyType::u1) return 1;
  return type == GreyType::f4 ? 4 : 2;
}

}  // namespace

std::size_t GreyLayout::row_bytes() const { return columns * bytes_of(type); }

std::vector<std::uint8_t> shrink_grey(RowSource& source, const GreyLayout& layout, std::optional<GreyWindow> window,
                                      bool inverted, PictureSize size) {
  const std::vector<Span> down = spans(layout.rows, size.height);
  const std::vector<Span> across = spans(layout.columns, size.width);
  std::vector<float> means(layout.columns);
  std::vector<std::uint8_t> picture;
  picture.reserve(size.height * size.width);

  with_loader(layout, [&](auto load) {
    const auto times = static_cast<float>(load.times);
    const GreyWindow shown = window ? GreyWindow{window->black * times, window->white * times}
                                    : full_window(source, layout.columns, down, load);
    for (const Span& rows : down) {
      std::fill(means.begin(), means.end(), 0.0F);
      rows.for_rows([&](std::size_t row, float weight) {
        add_greys(load, source.row(row), layout.columns, shown, weight, means.data());
      });
      for (const Span& columns : across) {
        const auto grey = static_cast<std::uint8_t>(columns.mean(means.data()) + 0.5F);
        picture.push_back(inverted ? 255 - grey : grey);
      }
    }
  });
  return picture;
}

namespace {

using Window = std::optional<std::pair<float, float>>;
using Size = std::pair<std::size_t, std::size_t>;

GreyLayout layout_of(std::size_t rows, std::size_t columns, GreyType type, unsigned bits_stored) {
  if (rows == 0 || columns == 0) throw std::invalid_argument("a frame without pixels");
  const auto value_bits = static_cast<unsigned>(8 * bytes_of(type));
  const bool all_used = type == GreyType::f4 || bits_stored == 0 || bits_stored > value_bits;
  return {rows, columns, type, all_used ? 0 : value_bits - bits_stored};
}

nb::bytes shrink_without_gil(RowSource& source, const GreyLayout& layout, Window window, bool inverted, Size size) {
  std::vector<std::uint8_t> picture;
  {
    nb::gil_scoped_release release;
    std::optional<GreyWindow> shown;
    if (window) shown = GreyWindow{window->first, window->second};
    picture = shrink_grey(source, layout, shown, inverted, {size.first, size.second});
  }
  return nb::bytes(reinterpret_cast<const char*>(picture.data()), picture.size());
}

template <typename Value>
void bind_shrink_array(nb::module_& module, GreyType type) {
  module.def(
      "shrink_grey",
      [type](const nb::ndarray<const Value, nb::ndim<2>, nb::c_contig, nb::device::cpu>& frame, unsigned bits_stored,
             Window window, bool inverted, Size size) {
        const GreyLayout layout = layout_of(frame.shape(0), frame.shape(1), type, bits_stored);
        MemoryRows source(frame.data(), layout.row_bytes());
        return shrink_without_gil(source, layout, window, inverted, size);
      },
      nb::arg("frame").noconvert(), nb::arg("bits_stored"), nb::arg("window").none(), nb::arg("inverted"),
      nb::arg("size"), "Shrink a frame of grey values to 8-bit greys of `size`, (height, width).");
}

}  // namespace

void bind_thumbnails(nb::module_& module) {
  nb::enum_<GreyType>(module, "GreyType")
      .value("u1", GreyType::u1)
      .value("u2", GreyType::u2)
      .value("i2", GreyType::i2)
      .value("f4", GreyType::f4);

  module.def(
      "shrink_grey_file",
      [](int file, std::uint64_t offset, std::size_t rows, std::size_t columns, GreyType type, unsigned bits_stored,
         Window window, bool inverted, Size size) {
        const GreyLayout layout = layout_of(rows, columns, type, bits_stored);
        FileRows source(file, offset, layout, {size.first, size.second});
        return shrink_without_gil(source, layout, window, inverted, size);
      },
      nb::arg("file"), nb::arg("offset"), nb::arg("rows"), nb::arg("columns"), nb::arg("type"), nb::arg("bits_stored"),
      nb::arg("window").none(), nb::arg("inverted"), nb::arg("size"),
      "Shrink the frame at an offset of an open file to 8-bit greys of `size`, (height, width).");

  bind_shrink_array<std::uint8_t>(module, GreyType::u1);
  bind_shrink_array<std::uint16_t>(module, GreyType::u2);
  bind_shrink_array<std::int16_t>(module, GreyType::i2);
  bind_shrink_array<float>(module, GreyType::f4);
}

}  // namespace pixels
