#include "dictionary.hpp"

#include <stdexcept>

namespace pixels {

Dictionary::Dictionary() : entries_(kSlots) {}

void Dictionary::add(std::uint32_t tag, Vr vr) {
  if (++filled_ > kSlots / 2) throw std::length_error("the public dictionary is larger than expected");
  std::size_t at = slot(tag);
  while (entries_[at].tag != kNoTag && entries_[at].tag != tag) at = (at + 1) % kSlots;
  entries_[at] = {tag, vr};
}

void Dictionary::add_repeater(std::uint32_t mask, std::uint32_t tag, Vr vr) { repeaters_.push_back({mask, tag, vr}); }

void Dictionary::add_private(std::string_view creator, PrivateKey key, std::uint32_t tag, Vr vr) {
  const int number = creators_.emplace(creator, static_cast<int>(creators_.size())).first->second;
  private_entries_[private_key(number, key, tag)] = vr;
}

Vr Dictionary::public_vr(std::uint32_t tag) const {
  for (std::size_t at = slot(tag); entries_[at].tag != kNoTag; at = (at + 1) % kSlots) {
    if (entries_[at].tag == tag) return entries_[at].vr;
  }
  for (const Repeater& repeater : repeaters_) {
    if ((tag & repeater.mask) == repeater.tag) return repeater.vr;
  }
  return Vr::none;
}

int Dictionary::creator(std::string_view name) const {
  const auto found = creators_.find(name);
  return found == creators_.end() ? -1 : found->second;
}

Vr Dictionary::private_vr(int creator, std::uint32_t tag) const {
  for (PrivateKey key : {PrivateKey::exact, PrivateKey::any_block, PrivateKey::any_group_and_block}) {
    const auto found = private_entries_.find(private_key(creator, key, tag));
    if (found != private_entries_.end()) return found->second;
  }
  return Vr::none;
}

std::uint64_t Dictionary::private_key(int creator, PrivateKey key, std::uint32_t tag) {
  constexpr std::uint32_t kMasks[] = {0xFFFFFFFF, 0xFFFF00FF, 0xFF0000FF};
  const auto kind = static_cast<std::size_t>(key);
  return static_cast<std::uint64_t>(creator) << 40 | static_cast<std::uint64_t>(kind) << 32 | (tag & kMasks[kind]);
}

}  // namespace pixels
