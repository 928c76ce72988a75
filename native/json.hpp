// JSON text; all rows of a batch share one buffer.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "text_buffer.hpp"
#include "vr.hpp"

namespace pixels {

namespace detail {

// Two digits for each byte.
inline constexpr auto kHexPairs = [] {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return pairs;
}();

}  // namespace detail

class JsonBuffer : public TextBuffer {
 public:
  using TextBuffer::TextBuffer;

  template <typename Number>
  void number(Number value) {
    out_ = std::to_chars(out_, out_ + kSpare, value).ptr;
    restore_spare();
  }

  // Eight digits, as tags are written.
  void hex(std::uint32_t number) {
    write_hex(out_, number);
    out_ += 8;
    restore_spare();
  }

  // The beginning of an attribute, `"GGGGEEEE":{"vr":"VR"` (PS3.18 F.2.2).
  void attribute(std::uint32_t tag, Vr vr) {
    static constexpr char kPattern[] = "\"GGGGEEEE\":{\"vr\":\"VR\"";
    const auto letters = static_cast<std::uint16_t>(vr);
    std::memcpy(out_, kPattern, sizeof kPattern - 1);
    write_hex(out_ + 1, tag);
    out_[18] = static_cast<char>(letters >> 8);
    out_[19] = static_cast<char>(letters & 255);
    out_ += sizeof kPattern - 1;
    restore_spare();
  }

  // An attribute's only value, if it is plain ASCII that needs no escapes; else nothing is written.
  bool plain_value(std::string_view text) {
    if (!is_plain(text)) return false;
    constexpr std::string_view kOpen = ",\"Value\":[\"", kClose = "\"]";
    reserve(text.size() + kOpen.size() + kClose.size());
    append(kOpen);
    append(text);
    append(kClose);
    return true;
  }

  // A text that needs no escapes.
  void plain_string(std::string_view text) {
    reserve(text.size() + 2);
    *out_++ = '"';
    append(text);
    *out_++ = '"';
  }

  // Any UTF-8 text.
  void string(std::string_view text);

  // Bytes in base64 without padding in between: all pieces of a value but the last must be a multiple of three long.
  void base64(std::span<const std::uint8_t> bytes);

 private:
  static void write_hex(char* out, std::uint32_t number) {
    for (int i = 0; i < 4; ++i) std::memcpy(out + 2 * i, detail::kHexPairs[number >> (24 - 8 * i) & 255].data(), 2);
  }
};

}  // namespace pixels
