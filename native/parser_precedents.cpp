// Elements that were read before, in another object of the batch: what they became is copied.
#include <cstdint>
#include <string_view>
#include <utility>

#include "parser.hpp"
#include "text.hpp"

namespace pixels {
namespace {

// Objects in which these two are the same are likely to have more in common.
constexpr std::uint32_t kImageType = 0x00080008, kSopClassUid = 0x00080016;
constexpr std::uint64_t kLongestDraft = 64 * 1024;

std::uint64_t mixed(std::uint64_t likeness, std::string_view bytes) {
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;  // 2^64 divided by the golden ratio
  detail::for_each_word(bytes, [&likeness](std::uint64_t word) {
    likeness = (likeness ^ word) * kFactor;
    likeness ^= likeness >> 32;
  });
  return likeness * kFactor;
}

}  // namespace

void HeaderParser::read_with_precedent(Scope& root, std::uint64_t position, Bounds bounds) {
  Resemblance same;
  // Where values had to wait for what comes after them, nothing is repeated.
  same.is_sought = known_pixel_representations_.empty();
  while (!stopped_) {
    if (same.precedent != nullptr && repeat_elements(root, same, position)) continue;
    const Before before{position, json_.size(), reports_, ambiguities_};
    if (!read_next(root, position, bounds)) break;
    if (same.precedent != nullptr) {
      pass(same, root.object->last_tag);
    } else if (same.draft) {
      add_to_draft(root, same, before, position);
    } else if (same.is_sought) {
      look_for_precedent(root, same, before, position);
    }
  }
  end_draft(root, same);
}

void HeaderParser::look_for_precedent(const Scope& root, Resemblance& same, const Before& before,
                                      std::uint64_t position) {
  const std::uint32_t tag = root.object->last_tag;
  same.is_sought = tag < kSopClassUid;
  if (tag != kImageType && tag != kSopClassUid) return;
  const auto length = static_cast<std::size_t>(position - before.position);
  same.likeness = mixed(same.likeness, reader_->source().in_view(before.position).substr(0, length));
  if (tag != kSopClassUid || !private_blocks_.empty() || !root.object->in_order) return;
  const Precedent::Context context{root.charset, root.implicit, reader_->order().big_endian()};
  same.precedent = same.followed = precedents_.find(same.likeness, context);
  if (same.precedent == nullptr && precedents_.wants_more()) {
    same.draft.emplace(context, position, json_.size() - json_begin_);
  }
}

bool HeaderParser::repeat_elements(Scope& root, Resemblance& same, std::uint64_t& position) {
  const Precedent::Run run = same.precedent->repeated(same.next, reader_->source().in_view(position));
  if (run.elements == 0) return false;
  JsonObject& object = *root.object;  // with the comma that follows other elements
  object.in_order &= run.first_tag > object.last_tag;
  object.last_tag = run.last_tag;
  json_.put(run.json);
  for (const auto& [column, cell] : run.cells) batch_.columns().set_cell(batch_.row(), column, cell);
  for (const Precedent::Note& note : run.notes) {
    const std::string_view value = same.precedent->value(note);
    take_note(root, note.tag, reinterpret_cast<const std::uint8_t*>(value.data()), value.size());
  }
  position += run.bytes;
  same.next += run.elements;
  same.repeated += run.elements;
  return true;
}

void HeaderParser::pass(Resemblance& same, std::uint32_t tag) {
  bool differs = is_context(tag);
  for (; same.next < same.precedent->elements() && same.precedent->tag(same.next) <= tag; ++same.next) {
    differs |= is_context(same.precedent->tag(same.next));
  }
  if (differs) same.precedent = nullptr;
}

void HeaderParser::add_to_draft(const Scope& root, Resemblance& same, const Before& before, std::uint64_t position) {
  Precedent& draft = *same.draft;
  const std::uint32_t tag = root.object->last_tag;
  const auto length = static_cast<std::size_t>(position - before.position);
  const std::string_view bytes = reader_->source().in_view(before.position).substr(0, length);
  // Of what was left out there are no bytes to compare with, and where tables of offsets lie differs by object.
  const bool is_whole = before.position == draft.end() && bytes.size() == length && contiguous_bytes_ == 0;
  if (!is_whole || draft.size() + length > kLongestDraft || tag >> 16 == 0x7FE0) return;

  Element element;
  reader_->read(before.position, position, root.implicit, element);
  if (is_notable(tag)) draft.add_note({tag, element.value, element.length});
  const int column = index_.find(tag);
  if (column >= 0) draft.add_cell({column, batch_.columns().cell(batch_.row(), column)});
  const bool repeatable = reports_ == before.reports && ambiguities_ == before.ambiguities && element.tag == tag &&
                          !(is_notable(tag) && element.undefined_length());
  draft.add(tag, repeatable, bytes, json_.size() - json_begin_);
}

void HeaderParser::end_draft(const Scope& root, Resemblance& same) {
  if (same.followed != nullptr && same.repeated < same.followed->elements() / 2) precedents_.remove(same.likeness);
  if (!same.draft || stopped_ || doubtful_ || came_too_late_ || !root.object->in_order) return;
  same.draft->complete(json_.text(json_begin_));
  precedents_.put(same.likeness, std::move(*same.draft));
}

}  // namespace pixels
