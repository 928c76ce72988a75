// Numbers of either byte order, read out of bytes (PS3.5 section 7.3).
#pragma once

#include <bit>
#include <cstdint>

namespace pixels {

class ByteOrder {
 public:
  explicit constexpr ByteOrder(bool big_endian = false) : big_endian_(big_endian) {}

  bool big_endian() const { return big_endian_; }

  std::uint16_t u16(const std::uint8_t* bytes) const {
    return big_endian_ ? static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1])
                       : static_cast<std::uint16_t>(bytes[1] << 8 | bytes[0]);
  }

  std::uint32_t u32(const std::uint8_t* bytes) const {
    const auto byte = [bytes](int i) { return static_cast<std::uint32_t>(bytes[i]); };
    return big_endian_ ? byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3)
                       : byte(3) << 24 | byte(2) << 16 | byte(1) << 8 | byte(0);
  }

  std::uint64_t u64(const std::uint8_t* bytes) const {
    const std::uint64_t first = u32(bytes), second = u32(bytes + 4);
    return big_endian_ ? first << 32 | second : second << 32 | first;
  }

  float f32(const std::uint8_t* bytes) const { return std::bit_cast<float>(u32(bytes)); }

  double f64(const std::uint8_t* bytes) const { return std::bit_cast<double>(u64(bytes)); }

  // A tag is two 16-bit numbers, group and element, in either byte order.
  std::uint32_t tag(const std::uint8_t* bytes) const {
    const std::uint32_t little = ByteOrder().u32(bytes);
    return big_endian_ ? u32(bytes) : little << 16 | little >> 16;
  }

 private:
  bool big_endian_;
};

}  // namespace pixels
