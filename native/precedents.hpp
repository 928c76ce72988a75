// Objects that were read before: in the objects of a series most elements come again, byte by byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "columns.hpp"
#include "text.hpp"

namespace pixels {

// What elements of one data set became that follow each other without a gap. Offsets are those in the object and in
// its JSON.
class Precedent {
 public:
  // What decides what the first of them becomes, besides its bytes.
  struct Context {
    const Charset* charset;
    bool implicit, big_endian;
    bool operator==(const Context&) const = default;
  };
  struct Cell {
    int column;
    TypedColumns::Cell cell;
  };
  // An element on which others depend.
  struct Note {
    std::uint32_t tag;
    std::uint64_t value, length;
  };
  // Some of the elements.
  struct Run {
    std::size_t elements = 0, bytes = 0;
    std::string_view json;
    std::uint32_t first_tag = 0, last_tag = 0;
    std::span<const Cell> cells;
    std::span<const Note> notes;
  };

  Precedent(Context context, std::uint64_t begin, std::size_t json_begin)
      : context_(context), begin_(begin), json_begin_(json_begin) {}

  // Adds the next element, after its cell or note. It is repeatable if nothing but its bytes and those of other
  // elements decides what it becomes.
  void add(std::uint32_t tag, bool repeatable, std::string_view bytes, std::size_t json_end);
  void add_cell(Cell cell) { cells_.push_back(cell); }
  void add_note(Note note) { notes_.push_back(note); }

  // Ends adding. The object's JSON may go on.
  void complete(std::string_view json) { json_ = json.substr(json_begin_, json_end() - json_begin_); }

  const Context& context() const { return context_; }
  std::uint64_t end() const { return begin_ + bytes_.size(); }
  std::size_t size() const { return bytes_.size() + json_.size(); }
  std::size_t elements() const { return elements_.size(); }
  std::uint32_t tag(std::size_t element) const { return elements_[element].tag; }
  std::string_view value(const Note& note) const {
    return std::string_view(bytes_).substr(static_cast<std::size_t>(note.value - begin_),
                                           static_cast<std::size_t>(note.length));
  }

  // The longest run from an element on that `bytes` begin with; it may be empty.
  Run repeated(std::size_t element, std::string_view bytes) const;

 private:
  // Its end in all that is kept; it begins where the last one ended.
  struct Element {
    std::uint32_t tag;
    bool repeatable;
    std::size_t bytes_end, json_end, cells_end, notes_end;
  };

  std::size_t json_end() const { return elements_.empty() ? json_begin_ : elements_.back().json_end; }

  Context context_;
  std::uint64_t begin_;
  std::size_t json_begin_;
  std::vector<Element> elements_;
  std::vector<Cell> cells_;
  std::vector<Note> notes_;
  std::string bytes_, json_;
};

// The latest objects, by a hash of what makes it likely that others resemble them.
class Precedents {
 public:
  // None if there is none in this context.
  const Precedent* find(std::uint64_t likeness, const Precedent::Context& context);

  // Whether one more is worth its making: not where hardly an object resembles another, nor without end.
  bool wants_more() const { return put_ < kTrials + found_ && bytes_ < kMostBytes; }

  // Remembers an object in place of another.
  void put(std::uint64_t likeness, Precedent precedent);
  void remove(std::uint64_t likeness) { slots_[slot(likeness)].reset(); }

 private:
  static constexpr std::size_t kSlots = 256;
  static constexpr std::size_t kTrials = 16;
  static constexpr std::size_t kMostBytes = 8 * 1024 * 1024;

  static std::size_t slot(std::uint64_t likeness) { return likeness >> 56; }

  std::vector<std::unique_ptr<const Precedent>> slots_ = std::vector<std::unique_ptr<const Precedent>>(kSlots);
  std::size_t put_ = 0, found_ = 0, bytes_ = 0;
};

}  // namespace pixels
