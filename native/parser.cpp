#include "parser.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "json_object.hpp"
#include "recognition.hpp"
#include "text.hpp"
#include "values.hpp"

namespace pixels {
namespace {

constexpr std::uint64_t kNoEnd = std::numeric_limits<std::uint64_t>::max();
constexpr int kDeepest = 100;                                      // sequences within sequences
constexpr std::uint64_t kLongestText = 16 * 1024 * 1024;           // of one value that is no binary
constexpr std::size_t kLongestDocument = 256 * 1024 * 1024;        // of one object's JSON
constexpr std::uint64_t kLongestDeflated = 1024 * 1024 * 1024;     // of one object
constexpr std::size_t kBase64Piece = 48 * 1024;                    // a multiple of three

constexpr std::string_view kImplicitVrLittleEndian = "1.2.840.10008.1.2";
constexpr std::string_view kExplicitVrBigEndian = "1.2.840.10008.1.2.2";
constexpr std::string_view kDeflated = "1.2.840.10008.1.2.1.99";

// Its letters, if it is made of letters.
std::string vr_name(Vr vr) {
  const auto letters = static_cast<std::uint16_t>(vr);
  const std::string name{static_cast<char>(letters >> 8), static_cast<char>(letters & 255)};
  const auto is_letter = [](char letter) { return letter >= 'A' && letter <= 'Z'; };
  return std::all_of(name.begin(), name.end(), is_letter) ? name : std::string();
}

}  // namespace

HeaderParser::Outcome HeaderParser::parse(Source& object) {
  if (object.size() == 0) {
    batch_.set_error("empty file");
    return Outcome::done;
  }
  const std::optional<std::uint64_t> first_element = find_first_element(object, dictionary_);
  if (!first_element) return Outcome::not_dicom;

  known_pixel_representations_.clear();
  read_object(object, *first_element);
  if (came_too_late_) {
    known_pixel_representations_.insert(seen_pixel_representations_.begin(), seen_pixel_representations_.end());
    batch_.restart_row();
    read_object(object, *first_element);
  }
  return doubtful_ ? Outcome::doubtful : Outcome::done;
}

void HeaderParser::read_object(Source& object, std::uint64_t first_element) {
  stopped_ = doubtful_ = came_too_late_ = false;
  seen_pixel_representations_.clear();
  transfer_syntax_.clear();
  facts_ = {};
  private_blocks_.clear();
  json_begin_ = json_.size();
  contiguous_bytes_ = 0;
  batch_.set_is_dicom();
  batch_.set_has_meta();

  ElementReader reader(object, ByteOrder());
  reader_ = &reader;
  Scope root{};
  root.charset = &default_charset();
  const Bounds bounds{object.size(), true};
  JsonObject json_object = begin_object();
  root.object = &json_object;
  root.implicit = reader.looks_implicit(first_element, bounds.end, false);
  std::uint64_t position = read_elements(root, first_element, kNoEnd, bounds, 0x0002);
  if (!stopped_ && transfer_syntax_ != kDeflated) {  // deflated bytes are no elements yet
    root.implicit = true;
    position = read_elements(root, position, kNoEnd, bounds, 0x0000);  // a command set (PS3.7 6.3)
  }
  try {
    if (!stopped_) read_data_set(root, position);
  } catch (const HookError& error) {
    batch_.set_error(error.what());
  }
  if (json_.back() == '{' && !stopped_) batch_.set_error("truncated: holds no data element");
  end_object(root);
}

void HeaderParser::read_data_set(Scope& root, std::uint64_t position) {
  std::string inflated;
  if (transfer_syntax_ == kDeflated) {
    inflated = inflate(position);
    position = 0;
  }
  MemorySource memory(inflated);
  Source& source = transfer_syntax_ == kDeflated ? memory : reader_->source();
  ElementReader reader(source, byte_order(position));
  reader_ = &reader;
  root.begin = position;
  root.implicit = reader.looks_implicit(position, source.size(), transfer_syntax_ == kImplicitVrLittleEndian);
  const auto known = known_pixel_representations_.find(position);
  if (known != known_pixel_representations_.end()) root.pixel_representation = known->second;
  read_with_precedent(root, position, {source.size(), true});
}

ByteOrder HeaderParser::byte_order(std::uint64_t position) const {
  if (!transfer_syntax_.empty()) return ByteOrder(transfer_syntax_ == kExplicitVrBigEndian);
  // Without a transfer syntax, a first group of 4 or 8 that reads as 1024 or 2048 was written the other way round.
  Element element;
  const bool readable = reader_->read(position, reader_->source().size(), false, element);
  return ByteOrder(readable && element.vr != Vr::none && element.tag >> 16 >= 1024);
}

std::string HeaderParser::inflate(std::uint64_t position) {
  const std::uint64_t length = reader_->source().size() - position;
  if (length > kLongestDeflated) throw HookError("the deflated data set is larger than 1 GiB");
  std::string deflated(static_cast<std::size_t>(length), '\0');
  reader_->source().copy(position, reinterpret_cast<std::uint8_t*>(deflated.data()), deflated.size());
  return hooks_.inflate(deflated);
}

// --- Data sets, elements, sequences ---

std::uint64_t HeaderParser::read_elements(Scope& scope, std::uint64_t position, std::uint64_t end, Bounds bounds,
                                          int only_group) {
  while (position < end && !stopped_ && read_next(scope, position, bounds, only_group)) {
  }
  return position;
}

bool HeaderParser::read_next(Scope& scope, std::uint64_t& position, Bounds bounds, int only_group) {
  if (json_.size() - json_begin_ > kLongestDocument) {
    batch_.set_error("metadata of more than 256 MiB");
    stopped_ = true;
    return false;
  }
  Element element;
  if (!reader_->read(position, bounds.end, scope.implicit, element)) {
    if (only_group != kUnknown) return false;  // what follows the group is read for what it is
    end_inside(scope, position, bounds);
    position = bounds.end;
    return false;
  }
  if (only_group != kUnknown && static_cast<int>(element.tag >> 16) != only_group) return false;
  const VrTraits& traits = *element.traits;
  if (traits.is_simple() && element.length <= bounds.end - element.value) {  // as most elements are
    read_value(scope, element.tag, traits, element.value, element.length);
    position = element.value + element.length;
    return true;
  }
  if (element.tag == kItemDelimiter) {
    if (scope.parent == nullptr) report(scope, element.tag, Vr::none, "ends the data set, although no item is open");
    position = element.value;
    return false;
  }
  if (is_pixel_data(element.tag) && scope.parent == nullptr) {
    leave_out(element.value);
    PixelDataLocator locator(*reader_, facts_, batch_);
    locator.locate(element);
    for (const std::string& problem : locator.problems()) report(scope, element.tag, element.vr, problem);
    position = bounds.end;
    return false;
  }
  position = read_element(scope, element, bounds);
  return true;
}

std::uint64_t HeaderParser::read_element(Scope& scope, const Element& element, Bounds bounds) {
  const std::uint32_t tag = element.tag;
  if (tag >> 16 == 0xFFFE) {
    report(scope, tag, Vr::none, "is an item or a delimiter outside of any sequence");
    return element.value;
  }
  const bool is_settled = element.vr != Vr::none && element.vr != Vr::UN;
  const Vr vr = is_settled ? element.vr : looked_up_vr(scope, element, bounds);
  const VrTraits& traits = traits_of(vr);
  if (is_pixel_data(tag)) return skip_value(scope, element, vr, bounds);  // of an icon
  if (traits.kind == ValueKind::unknown) {
    report(scope, tag, vr, "has a value representation that DICOM does not know");
    return skip_value(scope, element, vr, bounds);
  }
  if (traits.kind == ValueKind::sequence) return read_sequence(scope, element, bounds);

  if (element.undefined_length()) {
    const std::optional<std::uint64_t> delimiter = reader_->find_delimiter(element.value, bounds.end);
    if (!delimiter) return skip_value(scope, element, vr, bounds);
    read_value(scope, tag, traits, element.value, *delimiter - element.value);
    return std::min(*delimiter + 8, bounds.end);
  }
  const std::uint64_t available = bounds.end - element.value;
  read_value(scope, tag, traits, element.value, std::min<std::uint64_t>(element.length, available));
  if (element.length <= available) return element.value + element.length;
  if (bounds.cut_off) {
    truncated(scope, tag, vr);
  } else {
    report(scope, tag, vr, "is longer than the sequence that it is in");
  }
  return bounds.end;
}

std::uint64_t HeaderParser::read_sequence(Scope& scope, const Element& element, Bounds bounds) {
  const std::uint32_t tag = element.tag;
  separate(scope, tag);
  json_.attribute(tag, Vr::SQ);
  if (depth_ >= kDeepest) {
    json_.put('}');
    report(scope, tag, Vr::SQ, "is nested deeper than 100 sequences");
    return skip_value(scope, element, Vr::SQ, bounds);
  }
  std::uint64_t end = kNoEnd;
  if (!element.undefined_length()) {
    end = element.value + element.length;
    bounds = end > bounds.end ? bounds : Bounds{end, false};
  }
  const std::size_t before_value = json_.size();
  json_.put(",\"Value\":[");
  std::uint64_t position = element.value;
  std::size_t items = 0;
  while (position < end && !stopped_) {
    Element item;
    if (!reader_->read(position, bounds.end, true, item)) {
      if (bounds.cut_off) {
        truncated(scope, tag, Vr::SQ);
      } else {
        report(scope, tag, Vr::SQ, "ends inside an item or without its delimiter");
      }
      position = bounds.end;
      break;
    }
    position = item.value;
    if (item.tag == kSequenceDelimiter) break;
    if (item.tag != kItem) {
      doubtful_ = true;
      report(scope, tag, Vr::SQ, "has something else where an item should be");
      if (element.undefined_length()) {  // there is no telling where it ends
        batch_.set_error("malformed: unreadable from byte " + std::to_string(position - 8));
        stopped_ = true;
      }
      break;
    }
    if (items > 0) json_.put(',');
    position = read_item(scope, tag, items++, position, item.length, bounds);
  }
  if (items > 0) {
    json_.put("]}");
  } else {
    json_.truncate(before_value);
    json_.put('}');
  }
  return element.undefined_length() ? position : bounds.end;
}

std::uint64_t HeaderParser::read_item(Scope& parent, std::uint32_t sequence, std::size_t number,
                                      std::uint64_t position, std::uint32_t length, Bounds bounds) {
  JsonObject json_object = begin_object();
  Scope scope{};
  scope.parent = &parent;
  scope.sequence = sequence;
  scope.item = number;
  scope.begin = position;
  scope.object = &json_object;
  scope.charset = parent.charset;
  // Items of a data set in explicit VR may be in implicit VR, but not the other way round.
  scope.implicit = parent.implicit || reader_->looks_implicit(position, bounds.end, false);
  scope.first_private_block = private_blocks_.size();
  if (!known_pixel_representations_.empty()) {
    const auto known = known_pixel_representations_.find(position);
    if (known != known_pixel_representations_.end()) scope.pixel_representation = known->second;
  }
  ++depth_;
  const std::uint64_t end = length == kUndefinedLength ? kNoEnd : position + length;
  position = read_elements(scope, position, end, bounds);
  --depth_;
  end_object(scope);
  private_blocks_.resize(scope.first_private_block);
  return position;
}

std::uint64_t HeaderParser::skip_value(const Scope& scope, const Element& element, Vr vr, Bounds bounds) {
  std::optional<std::uint64_t> next;
  if (!element.undefined_length()) {
    if (element.length <= bounds.end - element.value) next = element.value + element.length;
  } else if (vr == Vr::SQ) {
    next = reader_->skip_sequence(element.value, bounds.end);
  } else if (const auto delimiter = reader_->find_delimiter(element.value, bounds.end)) {
    next = std::min(*delimiter + 8, bounds.end);
  }
  if (next) return *next;
  if (bounds.cut_off) {
    truncated(scope, element.tag, vr);
  } else {
    report(scope, element.tag, vr, "is longer than the sequence that it is in");
  }
  return bounds.end;
}

void HeaderParser::end_inside(const Scope& scope, std::uint64_t position, Bounds bounds) {
  if (scope.parent != nullptr) {
    if (bounds.cut_off) return truncated(*scope.parent, scope.sequence, Vr::SQ);
    return report(*scope.parent, scope.sequence, Vr::SQ, "ends inside an item or without its delimiter");
  }
  const auto left = static_cast<std::size_t>(bounds.end - position);
  if (left == 0) return;
  const std::uint8_t* bytes = reader_->source().view(position, left);
  if (std::all_of(bytes, bytes + left, [](std::uint8_t byte) { return byte == 0; })) return;  // padding
  truncated(scope, 0, Vr::none);
}

// --- Values ---

// In the loop over the elements, where nearly all time goes, calls and what they save on the stack would show.
[[gnu::always_inline]] inline void HeaderParser::read_value(Scope& scope, std::uint32_t tag, const VrTraits& traits,
                                                            std::uint64_t offset, std::uint64_t length) {
  const Vr vr = traits.vr;
  separate(scope, tag);
  json_.attribute(tag, vr);
  if (traits.kind == ValueKind::binary) {
    read_binary(scope, tag, vr, offset, length);
  } else if (length > kLongestText) {
    report(scope, tag, vr, "is longer than 16 MiB");
  } else {
    const auto bytes = static_cast<std::size_t>(length);
    const std::uint8_t* value = reader_->source().view(offset, bytes);
    if (is_notable(tag)) take_note(scope, tag, value, bytes);
    const char* problem = write_value(scope, tag, traits, value, bytes);
    if (problem != nullptr) report(scope, tag, vr, problem);
  }
  json_.put('}');
}

void HeaderParser::read_binary(const Scope& scope, std::uint32_t tag, Vr vr, std::uint64_t offset,
                               std::uint64_t length) {
  if (scope.parent == nullptr && tag == 0x7FE00001) facts_.extended_offsets = {offset, length};
  if (scope.parent == nullptr && tag == 0x7FE00002) facts_.extended_lengths = {offset, length};
  if (scope.parent == nullptr && index_.find(tag) >= 0) report(scope, tag, vr, "is binary and cannot be in its column");
  if (length == 0) return;
  const bool too_long = length > kLongestDocument / 2;
  if (too_long || (bulk_threshold_ && length > *bulk_threshold_)) {
    if (!bulk_threshold_) report(scope, tag, vr, "is too long to be inline");
    leave_out(offset);
    json_.put(",\"BulkDataURI\":\"bulkdata/");
    json_.put(path(scope, tag));
    json_.put('"');
    return;
  }
  json_.put(",\"InlineBinary\":\"");
  while (length > 0) {
    const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(length, kBase64Piece));
    json_.base64({reader_->source().view(offset, piece), piece});
    offset += piece;
    length -= piece;
  }
  json_.put('"');
}

inline const char* HeaderParser::write_value(Scope& scope, std::uint32_t tag, const VrTraits& traits,
                                      const std::uint8_t* bytes, std::size_t length) {
  const int column = scope.parent == nullptr ? index_.find(tag) : -1;
  const Vr vr = traits.vr;
  if (traits.kind == ValueKind::tag) return write_tags(json_, bytes, length, reader_->order());
  if (traits.kind == ValueKind::number) {
    const char* problem = write_numbers(json_, tag, vr, bytes, length, reader_->order());
    if (column >= 0 && problem == nullptr) {
      fill_column(scope, tag,
                  batch_.columns().set_numbers(batch_.row(), column, vr, bytes, length, reader_->order()));
    }
    return problem;
  }
  const char* problem = nullptr;
  std::string_view text = as_text(bytes, length);
  if (traits.kind == ValueKind::decimal) {
    problem = write_decimals(json_, text);
  } else if (traits.kind == ValueKind::integer) {
    problem = write_integers(json_, text);
  } else {
    // Plain ASCII is the same in all character sets but those that nobody should use.
    const bool may_be_plain = traits.kind == ValueKind::text && scope.charset->kind != Charset::Kind::other;
    if (!may_be_plain || !write_plain_text(json_, vr, text)) {
      unsigned text_traits = classify(text);
      try {
        const bool is_ascii = (text_traits & (kHasHighBytes | kHasControls)) == 0 && may_be_plain;
        if (!is_ascii) text = decode(scope, tag, vr, text, text_traits);
      } catch (const HookError&) {
        return "cannot be decoded in its character set";
      }
      if (traits.kind == ValueKind::person_name) {
        write_person_names(json_, text);
      } else {
        write_text(json_, vr, text, text_traits);
      }
    }
  }
  if (column >= 0) {
    const Fit fit = batch_.columns().set_text(batch_.row(), column, vr, text);
    if (problem == nullptr) fill_column(scope, tag, fit);
  }
  return problem;
}

void HeaderParser::fill_column(const Scope& scope, std::uint32_t tag, Fit fit) {
  if (fit == Fit::whole) return;
  report(scope, tag, Vr::none, fit == Fit::none ? "does not fit the type of its column"
                                                : "has several values, of which its column holds the first");
}

// --- JSON objects ---

HeaderParser::JsonObject HeaderParser::begin_object() {
  json_.put('{');
  return {.begin = json_.size()};
}

void HeaderParser::separate(Scope& scope, std::uint32_t tag) {
  JsonObject& object = *scope.object;
  object.in_order &= tag > object.last_tag;
  object.last_tag = tag;
  if (json_.back() != '{') json_.put(',');
}

void HeaderParser::end_object(const Scope& scope) {
  if (!scope.object->in_order) {
    for (const std::uint32_t tag : sort_attributes(json_, scope.object->begin)) {
      report(scope, tag, Vr::none, "occurs more than once; the last one is kept");
    }
  }
  json_.put('}');
}

// --- What went wrong ---

std::string HeaderParser::path(const Scope& scope, std::uint32_t tag) const {
  if (scope.parent == nullptr) return tag_text(tag);
  return path(*scope.parent, scope.sequence) + '/' + std::to_string(scope.item) + '/' + tag_text(tag);
}

void HeaderParser::report(const Scope& scope, std::uint32_t tag, Vr vr, std::string_view message) {
  ++reports_;
  batch_.add_issue(path(scope, tag), vr_name(vr), message);
}

void HeaderParser::truncated(const Scope& scope, std::uint32_t tag, Vr vr) {
  const std::string where = tag == 0 ? "the header of a data element" : path(scope, tag);
  batch_.set_error("truncated inside " + where);
  batch_.add_issue(tag == 0 ? std::string() : path(scope, tag), vr_name(vr), "is truncated");
  stopped_ = true;
}

}  // namespace pixels
