// Binds reading headers to Python: sources of all kinds in, one Arrow batch out, the GIL released in between.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "arrow.hpp"
#include "batch.hpp"
#include "columns.hpp"
#include "dictionary.hpp"
#include "hooks.hpp"
#include "parser.hpp"
#include "source.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace pixels {
namespace {

constexpr std::size_t kLargestReaderWindow = 256 * 1024;
constexpr std::uint64_t kRecognizableBytes = 4096;  // enough for the signature of any common file type

// A Python string as UTF-8; lone surrogates, which no UTF-8 can hold, become question marks.
std::string to_utf8(nb::handle text) {
  const nb::object encoded = nb::steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "replace"));
  if (!encoded.is_valid()) throw nb::python_error();
  return {PyBytes_AS_STRING(encoded.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(encoded.ptr()))};
}

std::string describe(const nb::python_error& error) {
  try {
    return to_utf8(nb::str(error.value()));
  } catch (const nb::python_error&) {
    return "an error that cannot be described";
  }
}

// Turns a Python exception into an error of one row; what is no `Exception`, like an interrupt, goes on.
template <typename Error, typename Call>
auto calling_python(Call call) {
  nb::gil_scoped_acquire gil;
  try {
    return call();
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_Exception)) throw;
    throw Error(describe(error));
  } catch (const nb::cast_error&) {
    throw Error("a Python object of the wrong type");
  }
}

// A Python object with `size` and `read(offset, length)`.
class ReaderSource final : public Source {
 public:
  ReaderSource(nb::handle reader, SourceCache* cache) : Source(cache, kLargestReaderWindow), reader_(reader) {
    calling_python<SourceError>([&] {
      size_ = nb::cast<std::uint64_t>(reader_.attr("size"));
      sequential_ = nb::cast<bool>(nb::bool_(nb::getattr(reader_, "sequential", nb::bool_(false))));
    });
  }

  bool sequential() const override { return sequential_; }

 protected:
  void read(std::uint64_t offset, std::uint8_t* out, std::size_t length) override {
    calling_python<SourceError>([&] {
      const auto bytes = nb::cast<nb::bytes>(reader_.attr("read")(offset, length));
      if (bytes.size() != length) throw SourceError("became shorter while it was read");
      std::copy_n(static_cast<const std::uint8_t*>(bytes.data()), length, out);
    });
  }

 private:
  nb::handle reader_;
  bool sequential_ = false;
};

class PythonHooks final : public Hooks {
 public:
  PythonHooks(nb::callable charset, nb::callable decode, nb::callable inflate)
      : charset_(std::move(charset)), decode_(std::move(decode)), inflate_(std::move(inflate)) {}

  Charset charset(std::string_view specific_character_set) override {
    return calling_python<HookError>([&] {
      const nb::object answer = charset_(as_bytes(specific_character_set));
      const auto [kind, table] = nb::cast<std::tuple<std::string, std::vector<std::uint16_t>>>(answer);
      Charset charset;
      charset.kind = kind == "single-byte"  ? Charset::Kind::single_byte
                     : kind == "utf-8"      ? Charset::Kind::utf8
                     : kind == "multi-byte" ? Charset::Kind::multi_byte
                                            : Charset::Kind::other;
      std::copy_n(table.begin(), std::min(table.size(), charset.table.size()), charset.table.begin());
      return charset;
    });
  }

  std::string decode(std::string_view text, const Charset& charset) override {
    return calling_python<HookError>([&] {
      const nb::object decoded = decode_(as_bytes(text), as_bytes(charset.name));
      return to_utf8(decoded);
    });
  }

  std::string inflate(std::string_view deflated) override {
    return calling_python<HookError>([&] {
      const auto inflated = nb::cast<nb::bytes>(inflate_(as_bytes(deflated)));
      return std::string(inflated.c_str(), inflated.size());
    });
  }

 private:
  static nb::bytes as_bytes(std::string_view text) { return nb::bytes(text.data(), text.size()); }

  nb::callable charset_, decode_, inflate_;
};

// A source as Python gave it: a local path, bytes, or a reader.
using Input = std::variant<std::string, std::string_view, nb::handle>;

Input make_input(nb::handle source) {
  if (nb::isinstance<nb::str>(source)) {
    const nb::object encoded = nb::steal(PyUnicode_EncodeFSDefault(source.ptr()));
    if (!encoded.is_valid()) throw nb::python_error();
    return std::string(PyBytes_AS_STRING(encoded.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(encoded.ptr())));
  }
  if (nb::isinstance<nb::bytes>(source)) {
    return std::string_view(PyBytes_AS_STRING(source.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(source.ptr())));
  }
  return source;
}

std::unique_ptr<Source> open(const Input& input, SourceCache* cache) {
  if (const auto* path = std::get_if<std::string>(&input)) {
    if (path->find('\0') != std::string::npos) throw SourceError("cannot be opened: a path cannot hold a NUL");
    return std::make_unique<FileSource>(path->c_str(), cache);
  }
  if (const auto* bytes = std::get_if<std::string_view>(&input)) return std::make_unique<MemorySource>(*bytes);
  return std::make_unique<ReaderSource>(std::get<nb::handle>(input), cache);
}

// The rows as Python sees them: anything that speaks the Arrow C data interface takes them without a copy.
class Rows {
 public:
  explicit Rows(std::shared_ptr<const ArrowData> data) : data_(std::move(data)) {}

  nb::tuple export_capsules(nb::handle /*requested_schema*/) const {
    auto* schema = new ArrowSchema;
    export_schema(*data_, schema);
    nb::capsule schema_capsule = capsule(schema, "arrow_schema");
    auto* array = new ArrowArray;
    export_array(data_, array);
    return nb::make_tuple(schema_capsule, capsule(array, "arrow_array"));
  }

 private:
  template <typename Structure>
  static nb::capsule capsule(Structure* structure, const char* name) {
    return nb::capsule(structure, name, [](void* pointer) noexcept {
      auto* owned = static_cast<Structure*>(pointer);
      if (owned->release != nullptr) owned->release(owned);
      delete owned;
    });
  }

  std::shared_ptr<const ArrowData> data_;
};

Vr parse_vr(std::string_view name) {
  if (name == "US or SS") return Vr::us_or_ss;
  if (name == "US or OW") return Vr::us_or_ow;
  if (name == "OB or OW") return Vr::ob_or_ow;
  const auto letter = [name](std::size_t i) { return static_cast<std::uint8_t>(name[i]); };
  const Vr vr = name.size() == 2 ? vr_of(letter(0), letter(1)) : Vr::none;
  if (traits_of(vr).kind == ValueKind::unknown) throw nb::value_error(("no VR: " + std::string(name)).c_str());
  return vr;
}

class HeaderReader {
 public:
  using Public = std::vector<std::tuple<std::uint32_t, std::string>>;
  using Repeaters = std::vector<std::tuple<std::uint32_t, std::uint32_t, std::string>>;
  using Private = std::vector<std::tuple<std::string, int, std::uint32_t, std::string>>;
  using Columns = std::vector<std::tuple<std::uint32_t, std::string, std::string, bool>>;

  HeaderReader(const Public& attributes, const Repeaters& repeaters, const Private& private_attributes,
               const Columns& columns, nb::callable charset, nb::callable decode, nb::callable inflate)
      : index_(make_specs(columns)), hooks_(std::move(charset), std::move(decode), std::move(inflate)) {
    for (const auto& [tag, vr] : attributes) dictionary_.add(tag, parse_vr(vr));
    for (const auto& [mask, tag, vr] : repeaters) dictionary_.add_repeater(mask, tag, parse_vr(vr));
    for (const auto& [creator, key, tag, vr] : private_attributes) {
      dictionary_.add_private(creator, static_cast<Dictionary::PrivateKey>(key), tag, parse_vr(vr));
    }
  }

  nb::tuple read(nb::list sources, std::optional<std::uint64_t> bulk_threshold) {
    std::vector<Input> inputs;
    for (nb::handle source : sources) inputs.push_back(make_input(source));
    auto batch = std::make_shared<HeaderBatch>(index_, inputs.size());
    std::vector<std::size_t> doubtful;
    std::vector<std::pair<std::size_t, std::string>> unrecognized;
    {
      nb::gil_scoped_release release;
      HeaderParser parser(dictionary_, index_, hooks_, *batch, bulk_threshold);
      SourceCache cache;
      for (std::size_t row = 0; row < inputs.size(); ++row) {
        batch->begin_row();
        try {
          const std::unique_ptr<Source> source = open(inputs[row], &cache);
          const HeaderParser::Outcome outcome = parser.parse(*source);
          cache.expect(parser.contiguous_bytes());
          if (outcome == HeaderParser::Outcome::doubtful) doubtful.push_back(row);
          if (outcome == HeaderParser::Outcome::not_dicom) unrecognized.emplace_back(row, head(*source));
        } catch (const SourceError& error) {
          batch->restart_row();
          batch->set_error(error.what());
        } catch (const std::bad_alloc&) {
          batch->restart_row();
          batch->set_error("too large for the memory of this machine");
        }
        batch->end_row();
      }
    }
    nb::list heads;
    for (const auto& [row, head] : unrecognized) heads.append(nb::make_tuple(row, nb::bytes(head.data(), head.size())));
    return nb::make_tuple(Rows(HeaderBatch::finish(std::move(batch))), doubtful, heads);
  }

 private:
  static std::vector<ColumnSpec> make_specs(const Columns& columns) {
    std::vector<ColumnSpec> specs;
    for (const auto& [tag, keyword, format, multiple] : columns) {
      specs.push_back({tag, keyword, column_type(format), multiple});
    }
    return specs;
  }

  static std::string head(Source& source) {
    const auto length = static_cast<std::size_t>(std::min(source.size(), kRecognizableBytes));
    return {reinterpret_cast<const char*>(source.view(0, length)), length};
  }

  Dictionary dictionary_;
  ColumnIndex index_;
  PythonHooks hooks_;
};

}  // namespace

void bind_headers(nb::module_& module) {
  nb::class_<Rows>(module, "Rows").def("__arrow_c_array__", &Rows::export_capsules, "requested_schema"_a = nb::none());
  nb::class_<HeaderReader>(module, "HeaderReader")
      .def(nb::init<const HeaderReader::Public&, const HeaderReader::Repeaters&, const HeaderReader::Private&,
                    const HeaderReader::Columns&, nb::callable, nb::callable, nb::callable>(),
           "attributes"_a, "repeaters"_a, "private_attributes"_a, "columns"_a, "charset"_a, "decode"_a, "inflate"_a)
      .def("read", &HeaderReader::read, "sources"_a, "bulk_threshold"_a = nb::none());
}

}  // namespace pixels
