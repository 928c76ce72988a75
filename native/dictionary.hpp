// The data dictionaries that implicit VR and UN need: public, repeating groups, private (PS3.6, PS3.5 section 7.8).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vr.hpp"

namespace pixels {

class Dictionary {
 public:
  // How much of a private tag is the key: all of it, all but the block's number, or only the group's high byte
  // and the element's low byte.
  enum class PrivateKey : std::uint8_t { exact, any_block, any_group_and_block };

  Dictionary();

  void add(std::uint32_t tag, Vr vr);
  void add_repeater(std::uint32_t mask, std::uint32_t tag, Vr vr);
  void add_private(std::string_view creator, PrivateKey key, std::uint32_t tag, Vr vr);

  // VR of a public attribute, `Vr::none` if it is unknown.
  Vr public_vr(std::uint32_t tag) const;

  // Number of a private creator, -1 if it is unknown.
  int creator(std::string_view name) const;

  // VR of a creator's private attribute, `Vr::none` if it is unknown.
  Vr private_vr(int creator, std::uint32_t tag) const;

 private:
  // Lets names be looked up without making strings of them.
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Entry {
    std::uint32_t tag = kNoTag;
    Vr vr = Vr::none;
  };
  struct Repeater {
    std::uint32_t mask;
    std::uint32_t tag;
    Vr vr;
  };
  static constexpr std::uint32_t kNoTag = 0xFFFFFFFF;
  static constexpr std::size_t kSlots = 1 << 14;  // at most half of them filled

  static std::size_t slot(std::uint32_t tag) { return tag * 2654435761u >> 18; }
  static std::uint64_t private_key(int creator, PrivateKey key, std::uint32_t tag);

  std::vector<Entry> entries_;  // open addressing
  std::size_t filled_ = 0;
  std::vector<Repeater> repeaters_;
  std::unordered_map<std::string, int, TextHash, std::equal_to<>> creators_;
  std::unordered_map<std::uint64_t, Vr> private_entries_;
};

}  // namespace pixels
