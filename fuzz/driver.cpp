// Reads headers without Python, for builds with sanitizers: `driver TABLES`, then one path a line on standard input.
//
// For each file it answers with one line: its metadata as JSON, or nothing if it is no DICOM.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "batch.hpp"
#include "columns.hpp"
#include "dictionary.hpp"
#include "hooks.hpp"
#include "parser.hpp"
#include "source.hpp"

namespace {

using namespace pixels;

// Rare character sets as Latin-1, deflated data sets as if they were not.
class PlainHooks final : public Hooks {
 public:
  Charset charset(std::string_view specific_character_set) override {
    Charset charset = default_charset();
    if (specific_character_set == "ISO_IR 192") charset.kind = Charset::Kind::utf8;
    if (specific_character_set == "GB18030") charset.kind = Charset::Kind::multi_byte;
    if (specific_character_set.starts_with('\\')) charset.kind = Charset::Kind::other;
    return charset;
  }
  std::string decode(std::string_view text, const Charset&) override {
    std::string decoded;
    decode_single_byte(text, default_charset(), decoded);
    return decoded;
  }
  std::string inflate(std::string_view deflated) override { return std::string(deflated); }
};

struct Tables {
  Dictionary dictionary;
  std::vector<ColumnSpec> columns;
};

// Two letters; in lower case, as in the core, for those that are open until other attributes are known.
Vr vr_named(const std::string& name) {
  return vr_of(static_cast<std::uint8_t>(name.at(0)), static_cast<std::uint8_t>(name.at(1)));
}

// Each line is one entry, its fields separated by tabs.
Tables load(const char* path) {
  Tables tables;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> fields;
    std::istringstream parts(line);
    for (std::string field; std::getline(parts, field, '\t');) fields.push_back(field);
    const auto number = [&](std::size_t i) { return static_cast<std::uint32_t>(std::stoul(fields.at(i))); };
    const std::string& kind = fields.at(0);
    if (kind == "public") tables.dictionary.add(number(1), vr_named(fields.at(2)));
    if (kind == "repeater") tables.dictionary.add_repeater(number(1), number(2), vr_named(fields.at(3)));
    if (kind == "private") {
      const auto key = static_cast<Dictionary::PrivateKey>(number(2));
      tables.dictionary.add_private(fields.at(1), key, number(3), vr_named(fields.at(4)));
    }
    if (kind == "column") {
      tables.columns.push_back({number(1), fields.at(2), column_type(fields.at(3)), fields.at(4) == "True"});
    }
  }
  return tables;
}

// Contents in memory of exactly their size, so that a sanitizer sees each byte that is read beyond.
std::unique_ptr<char[]> load_exactly(const std::string& path, std::size_t& size) {
  std::ifstream file(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  size = content.size();
  auto bytes = std::make_unique<char[]>(size);
  content.copy(bytes.get(), size);
  return bytes;
}

// What one object after the other becomes in a batch; the last one's metadata.
std::string read_together(const Tables& tables, const ColumnIndex& index, Hooks& hooks,
                          std::initializer_list<std::string_view> objects) {
  HeaderBatch batch(index, objects.size());
  HeaderParser parser(tables.dictionary, index, hooks, batch, 1024);
  std::string meta;
  for (const std::string_view object : objects) {
    MemorySource memory(object);
    batch.begin_row();
    parser.parse(memory);
    meta = batch.json().text(batch.json().size() - batch.row_json_bytes());
    batch.end_row();
  }
  return meta;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const Tables tables = load(argv[1]);
  const ColumnIndex index(tables.columns);
  PlainHooks hooks;
  SourceCache cache;
  for (std::string path; std::getline(std::cin, path);) {
    std::size_t size = 0;
    const auto bytes = load_exactly(path, size);
    auto batch = std::make_shared<HeaderBatch>(index, 4);
    std::string answer;
    const auto read = [&](Source& source, std::optional<std::uint64_t> bulk_threshold) {
      HeaderParser parser(tables.dictionary, index, hooks, *batch, bulk_threshold);
      batch->begin_row();
      parser.parse(source);
      cache.expect(parser.contiguous_bytes());
      answer = batch->json().text(batch->json().size() - batch->row_json_bytes());
      batch->end_row();
    };
    for (const std::optional<std::uint64_t> bulk_threshold : {std::optional<std::uint64_t>(1024), {}}) {
      MemorySource memory({bytes.get(), size});
      read(memory, bulk_threshold);
      FileSource file(path.c_str(), &cache);
      read(file, bulk_threshold);
    }
    HeaderBatch::finish(batch);

    // An object becomes the same after one that it resembles, of which the core remembers what it can.
    std::string similar(bytes.get(), size);
    for (const std::size_t place : {size / 3, size / 2, size - size / 4}) {
      if (place < size) similar[place] ^= 1;
    }
    const std::string_view object(bytes.get(), size);
    if (read_together(tables, index, hooks, {object, similar}) != read_together(tables, index, hooks, {similar})) {
      std::cerr << path << " changes what a similar object after it becomes" << std::endl;
      std::abort();
    }
    std::cout << answer << std::endl;
  }
}
