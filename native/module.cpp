// The Python module dbx.pixels.dicom._core; each file that has something for Python binds it itself.
#include <nanobind/nanobind.h>

namespace pixels {

void bind_headers(nanobind::module_& module);
void bind_thumbnails(nanobind::module_& module);

}  // namespace pixels

NB_MODULE(_core, module) {
  module.doc() = "The native core: DICOM headers to Arrow, grey frames to small pictures.";
  // The header reader lives as long as the process, and with it what it refers to.
  nanobind::set_leak_warnings(false);
  pixels::bind_headers(module);
  pixels::bind_thumbnails(module);
}
