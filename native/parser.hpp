// Reads the header of one DICOM object into a row: DICOM JSON, typed columns, pixel data, issues.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "batch.hpp"
#include "columns.hpp"
#include "dictionary.hpp"
#include "elements.hpp"
#include "hooks.hpp"
#include "pixel_data.hpp"
#include "precedents.hpp"
#include "source.hpp"

namespace pixels {

class HeaderParser {
 public:
  enum class Outcome {
    done,
    doubtful,  // there is a row, but the structure is wrong in a way that another reader may know to handle
    not_dicom
  };

  // Binary values longer than the threshold become BulkDataURIs; without one, none do.
  HeaderParser(const Dictionary& dictionary, const ColumnIndex& index, Hooks& hooks, HeaderBatch& batch,
               std::optional<std::uint64_t> bulk_threshold)
      : dictionary_(dictionary), index_(index), hooks_(hooks), batch_(batch), json_(batch.json()),
        bulk_threshold_(bulk_threshold) {}

  // Fills the batch's current row. Throws SourceError if the object cannot be read.
  Outcome parse(Source& object);

  // How far the last object had to be read until something was left out.
  std::uint64_t contiguous_bytes() const { return contiguous_bytes_; }

 private:
  // How far values may reach, and whether that is only because the object is cut off there.
  struct Bounds {
    std::uint64_t end;
    bool cut_off;
  };

  // A JSON object under construction.
  struct JsonObject {
    std::size_t begin;  // in the text, after the brace
    std::uint32_t last_tag = 0;
    bool in_order = true;
  };

  // A data set: the object's own, or that of a sequence item.
  struct Scope {
    Scope* parent;            // none for the object's own
    std::uint32_t sequence;   // tag of the sequence that the item is in
    std::size_t item;         // number of the item, from 0
    std::uint64_t begin;
    JsonObject* object;
    const Charset* charset;
    bool implicit;
    std::size_t first_private_block;  // in private_blocks_
    int pixel_representation = kUnknown;
    int assumed_pixel_representation = kUnknown;  // what its elements were read with before it was known
    int lut_entries = kUnknown;
    int waveform_bits = kUnknown;
  };
  struct PrivateBlock {
    std::uint32_t creator_tag;
    int creator;
  };
  static constexpr int kUnknown = -1;

  // The object as a whole.
  void read_object(Source& object, std::uint64_t first_element);
  void read_data_set(Scope& root, std::uint64_t position);
  void read_with_precedent(Scope& root, std::uint64_t position, Bounds bounds);
  ByteOrder byte_order(std::uint64_t position) const;
  std::string inflate(std::uint64_t position);

  // Reads the element at `position`, which becomes that of the next; false if it was the last.
  bool read_next(Scope& scope, std::uint64_t& position, Bounds bounds, int only_group = kUnknown);

  // Data sets, elements, sequences; each returns where what follows begins.
  std::uint64_t read_elements(Scope& scope, std::uint64_t position, std::uint64_t end, Bounds bounds,
                              int only_group = kUnknown);
  std::uint64_t read_element(Scope& scope, const Element& element, Bounds bounds);
  std::uint64_t read_sequence(Scope& scope, const Element& element, Bounds bounds);
  std::uint64_t read_item(Scope& parent, std::uint32_t sequence, std::size_t number, std::uint64_t position,
                          std::uint32_t length, Bounds bounds);
  std::uint64_t skip_value(const Scope& scope, const Element& element, Vr vr, Bounds bounds);
  void end_inside(const Scope& scope, std::uint64_t position, Bounds bounds);

  // Values.
  void read_value(Scope& scope, std::uint32_t tag, const VrTraits& traits, std::uint64_t offset, std::uint64_t length);
  const char* write_value(Scope& scope, std::uint32_t tag, const VrTraits& traits, const std::uint8_t* bytes,
                          std::size_t length);
  void fill_column(const Scope& scope, std::uint32_t tag, Fit fit);
  void read_binary(const Scope& scope, std::uint32_t tag, Vr vr, std::uint64_t offset, std::uint64_t length);
  void leave_out(std::uint64_t offset) { contiguous_bytes_ = contiguous_bytes_ == 0 ? offset : contiguous_bytes_; }

  // What elements mean for others (parser_context.cpp).
  void take_note(Scope& scope, std::uint32_t tag, const std::uint8_t* bytes, std::size_t length);
  void note_image_fact(std::uint32_t tag, const std::uint8_t* bytes, std::size_t length);
  void set_charset(Scope& scope, std::string_view specific_character_set);
  std::string_view decode(const Scope& scope, std::uint32_t tag, Vr vr, std::string_view text, unsigned& traits);
  Vr looked_up_vr(Scope& scope, const Element& element, Bounds bounds);
  Vr private_vr(const Scope& scope, std::uint32_t tag) const;
  Vr settle(Scope& scope, std::uint32_t tag, Vr vr);
  int pixel_representation(Scope& scope);

  // Elements that were read before, in another object (parser_precedents.cpp).
  struct Before {
    std::uint64_t position;
    std::size_t json;
    std::size_t reports, ambiguities;
  };
  struct Resemblance {
    bool is_sought = false;  // until enough is known to find a precedent
    std::uint64_t likeness = 0;
    const Precedent* precedent = nullptr;  // until it differs in what decides about other elements
    const Precedent* followed = nullptr;   // the same, to the end
    std::size_t next = 0;                  // element of the precedent
    std::size_t repeated = 0;              // elements
    std::optional<Precedent> draft;        // what the object will be to others if there is no precedent
  };
  bool repeat_elements(Scope& root, Resemblance& same, std::uint64_t& position);
  void pass(Resemblance& same, std::uint32_t tag);
  void add_to_draft(const Scope& root, Resemblance& same, const Before& before, std::uint64_t position);
  void look_for_precedent(const Scope& root, Resemblance& same, const Before& before, std::uint64_t position);
  void end_draft(const Scope& root, Resemblance& same);

  // JSON objects.
  JsonObject begin_object();
  void separate(Scope& scope, std::uint32_t tag);
  void end_object(const Scope& scope);

  // What went wrong.
  std::string path(const Scope& scope, std::uint32_t tag) const;
  void report(const Scope& scope, std::uint32_t tag, Vr vr, std::string_view message);
  void truncated(const Scope& scope, std::uint32_t tag, Vr vr);

  const Dictionary& dictionary_;
  const ColumnIndex& index_;
  Hooks& hooks_;
  HeaderBatch& batch_;
  JsonBuffer& json_;
  std::optional<std::uint64_t> bulk_threshold_;

  std::unordered_map<std::string, Charset> charsets_;
  std::vector<PrivateBlock> private_blocks_;
  std::string decoded_;
  Precedents precedents_;

  // Of the object that is being read.
  std::size_t json_begin_ = 0;
  std::uint64_t contiguous_bytes_ = 0;
  ElementReader* reader_ = nullptr;
  bool stopped_ = false;
  bool doubtful_ = false;
  std::string transfer_syntax_;
  FrameFacts facts_;
  int depth_ = 0;

  // Pixel Representations by the beginnings of their data sets. Where one came after elements that depend on it, the
  // object is read again, with all of them known.
  std::vector<std::pair<std::uint64_t, int>> seen_pixel_representations_;
  std::unordered_map<std::uint64_t, int> known_pixel_representations_;
  bool came_too_late_ = false;
  std::size_t reports_ = 0;
  std::size_t ambiguities_ = 0;  // of value representations, which other elements had to settle
};

}  // namespace pixels
