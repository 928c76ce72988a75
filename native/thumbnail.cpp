#include "thumbnail.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace nb = nanobind;

namespace pixels {
namespace {

// Of the rows under one row of the picture, so many are read at most: more cost time and change nothing visible.
constexpr std::size_t kRowsPerPictureRow = 4;

// Rows of which the picture's row covers a part have weights that sum up to this: whole numbers, so that integers stay
// integers.
constexpr int kWeight = 128;

// How many times as wide as the picture a frame may be, so that sums of so many values with such weights fit 32 bits.
constexpr std::size_t kWidestRatio = 1024;

// Consecutive rows are read in strips of about this size, which stay in the processor's cache until they are used.
constexpr std::size_t kStripBytes = 64 * 1024;

// Loads stored values as what is fastest to calculate with. Of integers, the stored bits are moved to the top, where
// the sign is that of the highest stored bit and the bits without meaning are gone: values become `times` as large.
// Unsigned words become signed ones, of which every processor finds the lesser and the greater at once: 0 becomes
// `kZero`.
template <typename Stored, typename Calculated, int kZeroAt = 0>
struct Loader {
  using Value = Calculated;
  using Sum = std::conditional_t<std::is_floating_point_v<Value>, float, std::int32_t>;
  static constexpr int kZero = kZeroAt;

  unsigned times;

  Value operator()(const std::uint8_t* row, std::size_t index) const {
    Stored value;
    std::memcpy(&value, row + index * sizeof(Stored), sizeof(Stored));
    if constexpr (std::is_integral_v<Stored>) value = static_cast<Stored>(static_cast<unsigned>(value) * times);
    return static_cast<Value>(value + static_cast<Value>(kZero));
  }
};

// Calls `use` with the loader of the layout's values, so that its loops are compiled for every type.
template <typename Use>
void with_loader(const FrameLayout& layout, Use use) {
  const unsigned times = 1U << layout.unused_bits;
  switch (layout.type) {
    case ValueType::u1:
      return use(Loader<std::uint8_t, std::int16_t>{times});
    case ValueType::u2:
      return use(Loader<std::uint16_t, std::int16_t, std::numeric_limits<std::int16_t>::min()>{times});
    case ValueType::i2:
      return use(Loader<std::int16_t, std::int16_t>{times});
    case ValueType::f4:
      return use(Loader<float, float>{1});
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

  // The part of the span that is one row's.
  float weight(std::size_t row) const {
    if (row > last) return 0;
    return share * (1 - (row == first ? cut_from_first : 0) - (row == last ? cut_from_last : 0));
  }

  // Whether the rows that stand for the span are whole ones, each as good as the other.
  bool is_whole() const {
    return last - first >= kRowsPerPictureRow || (cut_from_first == 0 && cut_from_last == 0);
  }

  // Calls `use(row, weight)` for the rows that stand for the span, and returns the sum of the weights.
  template <typename Use>
  int for_rows(Use use) const {
    const std::size_t count = last - first + 1;
    if (is_whole()) {
      const std::size_t taken = std::min(count, kRowsPerPictureRow);
      for (std::size_t i = 0; i < taken; ++i) use(first + (2 * i + 1) * count / (2 * taken), 1);
      return static_cast<int>(taken);
    }
    int weight_left = kWeight;
    for (std::size_t row = first; row < last; ++row) {
      const auto rounded = static_cast<int>(std::lround(kWeight * weight(row)));
      use(row, rounded);
      weight_left -= rounded;
    }
    use(last, weight_left);
    return kWeight;
  }
};

std::vector<Span> spans(std::size_t frame_edge, std::size_t picture_edge) {
  std::vector<Span> all;
  all.reserve(picture_edge);
  for (std::size_t i = 0; i < picture_edge; ++i) all.emplace_back(i, frame_edge, picture_edge);
  return all;
}

// The pixels of a row under one pixel of the picture; they are five at most where a row is not four times as wide.
struct Taps {
  static constexpr std::size_t kCount = 5;

  std::size_t first;
  float weights[kCount];

  explicit Taps(const Span& span) : first(span.first) {
    for (std::size_t i = 0; i < kCount; ++i) weights[i] = span.weight(first + i);
  }
};

// The loops over values are functions of their own with plain parameters: compilers see no alias, and vectorize.

template <typename Load, typename Value = typename Load::Value, typename Sum = typename Load::Sum>
void add_row(Load load, const std::uint8_t* row, std::size_t count, Value least, Value greatest, Sum* sums) {
  // In this order of arguments, what is not a number becomes the least.
  for (std::size_t i = 0; i < count; ++i) sums[i] += std::min(std::max(least, load(row, i)), greatest);
}

template <typename Load, typename Value = typename Load::Value, typename Sum = typename Load::Sum>
void add_weighted_row(Load load, const std::uint8_t* row, std::size_t count, Value least, Value greatest, int weight,
                      Sum* sums) {
  for (std::size_t i = 0; i < count; ++i) {
    sums[i] += static_cast<Sum>(std::min(std::max(least, load(row, i)), greatest)) * static_cast<Sum>(weight);
  }
}

template <typename Load, typename Value = typename Load::Value>
void widen(Load load, const std::uint8_t* row, std::size_t count, Value& least, Value& greatest) {
  Value low = least;
  Value high = greatest;
  for (std::size_t i = 0; i < count; ++i) {
    const Value value = load(row, i);
    if constexpr (std::is_floating_point_v<Value>) {
      if (!std::isfinite(value)) continue;
    }
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  least = low;
  greatest = high;
}

// Adds pairs of pixels; of an odd number, the last one counts twice.
template <std::size_t kSamples, typename Sum>
void halve(const Sum* sums, std::size_t columns, Sum* halved) {
  for (std::size_t x = 0; x < columns / 2; ++x) {
    for (std::size_t s = 0; s < kSamples; ++s) {
      halved[x * kSamples + s] = sums[2 * x * kSamples + s] + sums[(2 * x + 1) * kSamples + s];
    }
  }
  if (columns % 2 == 0) return;
  for (std::size_t s = 0; s < kSamples; ++s) {
    halved[columns / 2 * kSamples + s] = 2 * sums[(columns - 1) * kSamples + s];
  }
}

template <typename Sum>
void to_greys(const Sum* sums, std::size_t count, int weight, Window window, float* greys) {
  const float share = 1.0F / static_cast<float>(weight);
  const float scale = window.white == window.black ? 0 : 255 / (window.white - window.black);
  for (std::size_t i = 0; i < count; ++i) {
    const float grey = (static_cast<float>(sums[i]) * share - window.black) * scale;
    greys[i] = std::min(std::max(0.0F, grey), 255.0F);
  }
}

template <std::size_t kSamples>
void tap(const float* greys, const std::vector<Taps>& taps, float* line) {
  for (const Taps& taken : taps) {
    const float* pixels = greys + taken.first * kSamples;
    for (std::size_t s = 0; s < kSamples; ++s) {
      float sum = 0;
      for (std::size_t i = 0; i < Taps::kCount; ++i) sum += pixels[i * kSamples + s] * taken.weights[i];
      *line++ = sum;
    }
  }
}

void round(const float* line, std::size_t count, std::uint8_t* picture) {
  for (std::size_t i = 0; i < count; ++i) picture[i] = static_cast<std::uint8_t>(line[i] + 0.5F);
}

// The window from the least to the greatest value in the rows that the picture is made of.
template <typename Load, typename Value = typename Load::Value>
Window full_window(Load load, RowSource& source, std::size_t row_values, const std::vector<Span>& down) {
  Value least = std::numeric_limits<Value>::max();
  Value greatest = std::numeric_limits<Value>::lowest();
  for (const Span& span : down) {
    span.for_rows([&](std::size_t row, int) { widen(load, source.row(row), row_values, least, greatest); });
  }
  return {static_cast<float>(least), static_cast<float>(greatest)};
}

// A window of stored values in values as they are loaded. That of integers begins and ends with one.
template <typename Load>
Window loaded_window(Load load, Window window) {
  if constexpr (std::is_integral_v<typename Load::Value>) {
    const bool rises = window.black <= window.white;
    window.black = rises ? std::floor(window.black) : std::ceil(window.black);
    window.white = rises ? std::ceil(window.white) : std::floor(window.white);
  }
  const auto times = static_cast<float>(load.times);
  return {window.black * times + load.kZero, window.white * times + load.kZero};
}

template <typename Value>
Value nearest(float value) {
  return static_cast<Value>(std::clamp(value, static_cast<float>(std::numeric_limits<Value>::lowest()),
                                       static_cast<float>(std::numeric_limits<Value>::max())));
}

template <std::size_t kSamples, typename Load>
void shrink_rows(Load load, RowSource& source, std::size_t columns, const std::vector<Span>& down, Window window,
                 std::size_t width, std::uint8_t* picture) {
  using Value = typename Load::Value;
  // Values are averaged as they are displayed, thus cut off where the window ends.
  const auto least = nearest<Value>(std::min(window.black, window.white));
  const auto greatest = nearest<Value>(std::max(window.black, window.white));

  // Rows that are much wider than the picture are halved, which is fast; taps do the rest.
  std::size_t narrow = columns;
  while (narrow >= 4 * width || narrow == 2 * width) narrow = (narrow + 1) / 2;
  std::vector<Taps> taps;
  for (const Span& span : spans(narrow, width)) taps.emplace_back(span);

  std::vector<typename Load::Sum> sums(columns * kSamples);
  std::vector<typename Load::Sum> halved(columns * kSamples);
  std::vector<float> greys((narrow + Taps::kCount) * kSamples);  // the last taps reach beyond the row, with no weight
  std::vector<float> line(width * kSamples);
  for (const Span& rows : down) {
    std::fill(sums.begin(), sums.end(), 0);
    int weight = rows.for_rows([&](std::size_t row, int row_weight) {
      if (row_weight == 1) {
        add_row(load, source.row(row), columns * kSamples, least, greatest, sums.data());
      } else {
        add_weighted_row(load, source.row(row), columns * kSamples, least, greatest, row_weight, sums.data());
      }
    });
    for (std::size_t wide = columns; wide > narrow; wide = (wide + 1) / 2) {
      halve<kSamples>(sums.data(), wide, halved.data());
      sums.swap(halved);
      weight *= 2;
    }
    to_greys(sums.data(), narrow * kSamples, weight, window, greys.data());
    if (narrow == width) {
      round(greys.data(), width * kSamples, picture);
    } else {
      tap<kSamples>(greys.data(), taps, line.data());
      round(line.data(), width * kSamples, picture);
    }
    picture += width * kSamples;
  }
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
  FileRows(int file, std::uint64_t offset, const FrameLayout& layout, PictureSize size)
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

std::size_t bytes_of(ValueType type) {
  if (type == ValueType::u1) return 1;
  return type == ValueType::f4 ? 4 : 2;
}

}  // namespace

std::size_t FrameLayout::row_bytes() const { return columns * samples * bytes_of(type); }

std::vector<std::uint8_t> shrink(RowSource& source, const FrameLayout& layout, std::optional<Window> window,
                                 bool inverted, PictureSize size) {
  const std::vector<Span> down = spans(layout.rows, size.height);
  std::vector<std::uint8_t> picture(size.height * size.width * layout.samples);
  with_loader(layout, [&](auto load) {
    Window shown = window ? loaded_window(load, *window)
                          : full_window(load, source, layout.columns * layout.samples, down);
    if (inverted) std::swap(shown.black, shown.white);
    if (layout.samples == 3) {
      shrink_rows<3>(load, source, layout.columns, down, shown, size.width, picture.data());
    } else {
      shrink_rows<1>(load, source, layout.columns, down, shown, size.width, picture.data());
    }
  });
  return picture;
}

namespace {

using OptionalWindow = std::optional<std::pair<float, float>>;
using Size = std::pair<std::size_t, std::size_t>;

FrameLayout layout_of(std::size_t rows, std::size_t columns, std::size_t samples, ValueType type, unsigned bits_stored,
                      Size size) {
  if (rows == 0 || columns == 0) throw std::invalid_argument("a frame without pixels");
  if (size.first == 0 || columns > kWidestRatio * size.second) throw std::invalid_argument("a picture too small");
  if (samples != 1 && samples != 3) throw std::invalid_argument("a pixel has one or three samples");
  const auto value_bits = static_cast<unsigned>(8 * bytes_of(type));
  const bool all_used = type == ValueType::f4 || bits_stored == 0 || bits_stored > value_bits;
  return {rows, columns, samples, type, all_used ? 0 : value_bits - bits_stored};
}

nb::bytes shrink_without_gil(RowSource& source, const FrameLayout& layout, OptionalWindow window, bool inverted,
                             Size size) {
  std::vector<std::uint8_t> picture;
  {
    nb::gil_scoped_release release;
    std::optional<Window> shown;
    if (window) shown = Window{window->first, window->second};
    picture = shrink(source, layout, shown, inverted, {size.first, size.second});
  }
  return nb::bytes(reinterpret_cast<const char*>(picture.data()), picture.size());
}

template <typename Stored>
void bind_shrink(nb::module_& module, ValueType type) {
  module.def(
      "shrink",
      [type](const nb::ndarray<const Stored, nb::ndim<3>, nb::c_contig, nb::device::cpu>& frame, OptionalWindow window,
             bool inverted, Size size) {
        const FrameLayout layout = layout_of(frame.shape(0), frame.shape(1), frame.shape(2), type, 0, size);
        MemoryRows source(frame.data(), layout.row_bytes());
        return shrink_without_gil(source, layout, window, inverted, size);
      },
      nb::arg("frame").noconvert(), nb::arg("window").none(), nb::arg("inverted"), nb::arg("size"),
      "Shrink a frame of rows, columns and samples to 8-bit samples of `size`, (height, width).");
}

}  // namespace

void bind_thumbnails(nb::module_& module) {
  nb::enum_<ValueType>(module, "ValueType")
      .value("u1", ValueType::u1)
      .value("u2", ValueType::u2)
      .value("i2", ValueType::i2)
      .value("f4", ValueType::f4);

  module.def(
      "shrink_file",
      [](int file, std::uint64_t offset, std::size_t rows, std::size_t columns, std::size_t samples, ValueType type,
         unsigned bits_stored, OptionalWindow window, bool inverted, Size size) {
        const FrameLayout layout = layout_of(rows, columns, samples, type, bits_stored, size);
        FileRows source(file, offset, layout, {size.first, size.second});
        return shrink_without_gil(source, layout, window, inverted, size);
      },
      nb::arg("file"), nb::arg("offset"), nb::arg("rows"), nb::arg("columns"), nb::arg("samples"), nb::arg("type"),
      nb::arg("bits_stored"), nb::arg("window").none(), nb::arg("inverted"), nb::arg("size"),
      "Shrink the frame at an offset of an open file to 8-bit samples of `size`, (height, width).");

  bind_shrink<std::uint8_t>(module, ValueType::u1);
  bind_shrink<std::uint16_t>(module, ValueType::u2);
  bind_shrink<std::int16_t>(module, ValueType::i2);
  bind_shrink<float>(module, ValueType::f4);
}

}  // namespace pixels
