// Puts the metadata of a series' instances together while other threads run Python.
#include <nanobind/nanobind.h>

#include <cstring>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

// The contents of bytes-like objects, held as long as this lives.
class Contents {
 public:
  explicit Contents(const nb::list& objects) {
    held_.reserve(objects.size());
    for (nb::handle object : objects) {
      Py_buffer content;
      if (PyObject_GetBuffer(object.ptr(), &content, PyBUF_SIMPLE) != 0) {
        release();
        throw nb::python_error();
      }
      held_.push_back(content);
      size_ += static_cast<std::size_t>(content.len);
    }
  }
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;
  ~Contents() { release(); }

  const std::vector<Py_buffer>& all() const { return held_; }
  std::size_t size() const { return size_; }

 private:
  void release() {
    for (Py_buffer& content : held_) PyBuffer_Release(&content);
  }

  std::vector<Py_buffer> held_;
  std::size_t size_ = 0;
};

nb::tuple join(const nb::list& data_sets, const nb::bytes& key) {
  const Contents contents(data_sets);
  const std::size_t braces = contents.all().size();
  const std::size_t commas = braces == 0 ? 0 : braces - 1;
  const std::size_t size = contents.size() + braces + commas;
  nb::bytes text = nb::steal<nb::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
  if (!text.is_valid()) throw nb::python_error();
  bool holds_key;
  {
    char* const begin = PyBytes_AS_STRING(text.ptr());
    nb::gil_scoped_release release;
    char* at = begin;
    for (const Py_buffer& content : contents.all()) {
      if (at != begin) *at++ = ',';
      *at++ = '{';
      std::memcpy(at, content.buf, static_cast<std::size_t>(content.len));
      at += content.len;
    }
    holds_key = memmem(begin, size, key.c_str(), key.size()) != nullptr;
  }
  return nb::make_tuple(text, holds_key);
}

}  // namespace

NB_MODULE(_packing, module) {
  module.doc() = "Putting metadata of many instances together.";
  module.def("join", &join, "data_sets"_a, "key"_a);
}
