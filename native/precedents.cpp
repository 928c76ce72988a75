#include "precedents.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pixels {
namespace {

std::size_t common_prefix(std::string_view one, std::string_view other) {
  constexpr std::size_t kStep = 32;
  const std::size_t most = std::min(one.size(), other.size());
  std::size_t at = 0;
  while (most - at >= kStep && std::memcmp(one.data() + at, other.data() + at, kStep) == 0) at += kStep;
  while (at < most && one[at] == other[at]) ++at;
  return at;
}

}  // namespace

void Precedent::add(std::uint32_t tag, bool repeatable, std::string_view bytes, std::size_t json_end) {
  bytes_ += bytes;
  elements_.push_back({tag, repeatable, bytes_.size(), json_end, cells_.size(), notes_.size()});
}

Precedent::Run Precedent::repeated(std::size_t element, std::string_view bytes) const {
  const Element start{0, false, 0, json_begin_, 0, 0};
  const Element& before = element == 0 ? start : elements_[element - 1];
  const std::size_t common = common_prefix(std::string_view(bytes_).substr(before.bytes_end), bytes);
  std::size_t end = element;
  while (end < elements_.size() && elements_[end].repeatable && elements_[end].bytes_end - before.bytes_end <= common) {
    ++end;
  }
  if (end == element) return {};
  const Element& last = elements_[end - 1];
  return {end - element,
          last.bytes_end - before.bytes_end,
          std::string_view(json_).substr(before.json_end - json_begin_, last.json_end - before.json_end),
          elements_[element].tag,
          last.tag,
          std::span(cells_).subspan(before.cells_end, last.cells_end - before.cells_end),
          std::span(notes_).subspan(before.notes_end, last.notes_end - before.notes_end)};
}

const Precedent* Precedents::find(std::uint64_t likeness, const Precedent::Context& context) {
  const Precedent* precedent = slots_[slot(likeness)].get();
  if (precedent == nullptr || precedent->context() != context) return nullptr;
  ++found_;
  return precedent;
}

void Precedents::put(std::uint64_t likeness, Precedent precedent) {
  ++put_;
  bytes_ += precedent.size();
  slots_[slot(likeness)] = std::make_unique<const Precedent>(std::move(precedent));
}

}  // namespace pixels
