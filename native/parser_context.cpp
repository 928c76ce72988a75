// What elements mean for others: character sets, value representations that depend on values, facts about the image.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "numbers.hpp"
#include "parser.hpp"
#include "text.hpp"

namespace pixels {
namespace {

// Whether Specific Character Set applies (PS3.5 6.1.2.2).
bool has_own_charset(Vr vr) {
  switch (vr) {
    case Vr::LO: case Vr::LT: case Vr::PN: case Vr::SH: case Vr::ST: case Vr::UC: case Vr::UT: return true;
    default: return false;
  }
}

}  // namespace

std::string_view HeaderParser::decode(const Scope& scope, std::uint32_t tag, Vr vr, std::string_view text,
                                      unsigned& traits) {
  const bool own_charset = has_own_charset(vr);
  const Charset& charset = own_charset ? *scope.charset : default_charset();
  const bool is_escaped = own_charset && (traits & kHasControls) != 0 && text.find('\x1B') != std::string_view::npos;
  if (!is_escaped && charset.kind != Charset::Kind::other) {
    if ((traits & kHasHighBytes) == 0) return text;
    if (charset.kind == Charset::Kind::utf8 && is_utf8(text)) return text;
    decoded_.clear();
    if (charset.kind == Charset::Kind::single_byte && decode_single_byte(text, charset, decoded_)) return decoded_;
  }
  decoded_ = hooks_.decode(text, charset);
  if (!is_utf8(decoded_)) throw HookError("not decoded to UTF-8");
  if (decoded_.find("\xEF\xBF\xBD") != std::string::npos) {
    report(scope, tag, vr, "has bytes that its character set does not know");
  }
  traits = classify(decoded_);
  return decoded_;
}

void HeaderParser::take_note(Scope& scope, std::uint32_t tag, const std::uint8_t* bytes, std::size_t length) {
  const auto number = [&] { return length >= 2 ? reader_->order().u16(bytes) : kUnknown; };
  switch (tag) {
    case 0x00020010:
      if (scope.parent == nullptr) transfer_syntax_ = trim(as_text(bytes, length), Padding::around);
      return;
    case 0x00080005: return set_charset(scope, trim(as_text(bytes, length), Padding::trailing));
    case 0x00280103:
      scope.pixel_representation = number();
      seen_pixel_representations_.emplace_back(scope.begin, scope.pixel_representation);
      if (scope.assumed_pixel_representation != kUnknown &&
          scope.assumed_pixel_representation != scope.pixel_representation) {
        came_too_late_ = true;
      }
      return;
    case 0x00283002: scope.lut_entries = number(); return;
    case 0x54001004: scope.waveform_bits = number(); return;
    default: break;
  }
  if (is_private_creator(tag)) {
    private_blocks_.push_back({tag, dictionary_.creator(trim(as_text(bytes, length), Padding::trailing))});
  } else if (tag >> 16 == 0x0028 && scope.parent == nullptr) {
    note_image_fact(tag, bytes, length);
  }
}

void HeaderParser::note_image_fact(std::uint32_t tag, const std::uint8_t* bytes, std::size_t length) {
  const auto number = [&] {
    return length >= 2 ? std::optional<std::uint32_t>(reader_->order().u16(bytes)) : std::nullopt;
  };
  switch (tag) {
    case 0x00280002: facts_.samples = number(); break;
    case 0x00280004: facts_.is_422 = trim(as_text(bytes, length), Padding::around).ends_with("_422"); break;
    case 0x00280010: facts_.rows = number(); break;
    case 0x00280011: facts_.columns = number(); break;
    case 0x00280100: facts_.bits_allocated = number(); break;
    case 0x00280008:
      if (Decimal decimal; parse_decimal(trim(as_text(bytes, length), Padding::around), decimal)) {
        const std::int64_t frames = to_integer(decimal).value_or(1);
        if (frames >= 1 && frames <= INT32_MAX) facts_.frames = static_cast<std::uint32_t>(frames);
      }
      break;
    default: break;
  }
}

void HeaderParser::set_charset(Scope& scope, std::string_view specific_character_set) {
  std::string name(specific_character_set);
  auto found = charsets_.find(name);
  if (found == charsets_.end()) {
    Charset charset = default_charset();
    try {
      charset = hooks_.charset(name);
    } catch (const HookError&) {
      charset.is_known = false;
    }
    charset.name = name;
    found = charsets_.emplace(std::move(name), std::move(charset)).first;
  }
  scope.charset = &found->second;
  if (!scope.charset->is_known) report(scope, 0x00080005, Vr::CS, "names a character set that cannot be used");
}

Vr HeaderParser::looked_up_vr(Scope& scope, const Element& element, Bounds bounds) {
  const std::uint32_t tag = element.tag;
  if (element.vr == Vr::UN && element.undefined_length()) return Vr::SQ;  // PS3.5 6.2.2
  Vr vr = Vr::none;
  if (!is_private(tag) && (element.vr == Vr::none || element.length < 0xFFFF)) vr = dictionary_.public_vr(tag);
  if (vr == Vr::none && element.undefined_length() && reader_->is_item(element.value, bounds.end)) return Vr::SQ;
  if (vr == Vr::none && is_private(tag)) vr = private_vr(scope, tag);
  if (vr == Vr::none && element.vr == Vr::none && (tag & 0xFFFF) == 0) vr = Vr::UL;  // a group length
  return vr == Vr::none ? Vr::UN : settle(scope, tag, vr);
}

Vr HeaderParser::private_vr(const Scope& scope, std::uint32_t tag) const {
  if (is_private_creator(tag)) return Vr::LO;
  if ((tag & 0xFF00) == 0) return Vr::none;
  const std::uint32_t creator_tag = (tag & 0xFFFF0000) | (tag >> 8 & 0xFF);
  for (std::size_t i = private_blocks_.size(); i > scope.first_private_block; --i) {
    const PrivateBlock& block = private_blocks_[i - 1];
    if (block.creator_tag == creator_tag) {
      return block.creator < 0 ? Vr::none : dictionary_.private_vr(block.creator, tag);
    }
  }
  return Vr::none;
}

Vr HeaderParser::settle(Scope& scope, std::uint32_t tag, Vr vr) {
  ambiguities_ += vr == Vr::us_or_ss || vr == Vr::us_or_ow || vr == Vr::ob_or_ow;
  switch (vr) {
    case Vr::us_or_ss: return pixel_representation(scope) == 0 ? Vr::US : Vr::SS;
    case Vr::us_or_ow: return scope.lut_entries == 1 ? Vr::US : Vr::OW;
    case Vr::ob_or_ow: {
      const bool is_waveform = tag >> 16 == 0x5400;
      const bool has_bytes = scope.waveform_bits != kUnknown && scope.waveform_bits <= 8;
      return is_waveform && has_bytes && !scope.implicit ? Vr::OB : Vr::OW;
    }
    default: return vr;
  }
}

int HeaderParser::pixel_representation(Scope& scope) {
  int representation = 0;
  for (const Scope* around = &scope; around != nullptr; around = around->parent) {
    if (around->pixel_representation == kUnknown) continue;
    representation = around->pixel_representation;
    break;
  }
  for (Scope* around = &scope; around != nullptr && around->pixel_representation == kUnknown; around = around->parent) {
    around->assumed_pixel_representation = representation;
  }
  return representation;
}

}  // namespace pixels
