// The Python module dbx.pixels.storage._folder: one folder's files with their times and lengths, the GIL released.
#include <nanobind/nanobind.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

struct File {
  std::string name;
  std::int64_t time;  // microseconds since 1970
  std::int64_t length;
};

struct Failure {
  std::string name;
  int error;
};

struct Folder {
  int error = 0;
  struct stat status {};
  std::vector<File> files;
  std::vector<std::string> folders, links;  // links to folders
  std::vector<Failure> failures;
};

std::int64_t modification_time(const struct stat& status) {
#ifdef __APPLE__
  const timespec& time = status.st_mtimespec;
#else
  const timespec& time = status.st_mtim;
#endif
  return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000;
}

bool is_real_folder(int descriptor, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat status;
  return fstatat(descriptor, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

void look_at(int descriptor, const std::string& name, Folder& folder) {
  struct stat status;
  if (fstatat(descriptor, name.c_str(), &status, 0) != 0) {
    folder.failures.push_back({name, errno});
  } else if (S_ISREG(status.st_mode)) {
    folder.files.push_back({name, modification_time(status), static_cast<std::int64_t>(status.st_size)});
  } else if (S_ISDIR(status.st_mode)) {
    folder.links.push_back(name);
  }
}

Folder read_folder(const char* path) {
  Folder folder;
  const int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = descriptor < 0 ? nullptr : fdopendir(descriptor);
  if (stream == nullptr || fstat(descriptor, &folder.status) != 0) {
    folder.error = errno;
    if (stream != nullptr) {
      closedir(stream);
    } else if (descriptor >= 0) {
      close(descriptor);
    }
    return folder;
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    (is_real_folder(descriptor, *entry) ? folder.folders : names).emplace_back(entry->d_name);
    errno = 0;
  }
  folder.error = errno;
  std::sort(names.begin(), names.end());
  std::sort(folder.folders.begin(), folder.folders.end());
  for (const std::string& name : names) look_at(descriptor, name, folder);
  closedir(stream);
  return folder;
}

// Names are the system's, which Python decodes as it does those of `os.listdir`.
nb::object decoded(const std::string& name) {
  PyObject* text = PyUnicode_DecodeFSDefaultAndSize(name.data(), static_cast<Py_ssize_t>(name.size()));
  if (text == nullptr) throw nb::python_error();
  return nb::steal(text);
}

nb::list decoded(const std::vector<std::string>& names) {
  nb::list list;
  for (const std::string& name : names) list.append(decoded(name));
  return list;
}

nb::tuple scan(nb::str path) {
  const nb::object encoded = nb::steal(PyUnicode_EncodeFSDefault(path.ptr()));
  if (!encoded.is_valid()) throw nb::python_error();
  Folder folder;
  std::string prefix(PyBytes_AS_STRING(encoded.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(encoded.ptr())));
  {
    nb::gil_scoped_release release;
    folder = read_folder(prefix.c_str());
  }
  if (folder.error != 0) {
    errno = folder.error;
    PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path.ptr());
    throw nb::python_error();
  }
  if (prefix.back() != '/') prefix += '/';
  nb::list paths, times, lengths, failures;
  for (const File& file : folder.files) {
    paths.append(decoded(prefix + file.name));
    times.append(file.time);
    lengths.append(file.length);
  }
  for (const Failure& failure : folder.failures) {
    failures.append(nb::make_tuple(decoded(prefix + failure.name), failure.error));
  }
  const nb::tuple key = nb::make_tuple(folder.status.st_dev, folder.status.st_ino);
  return nb::make_tuple(key, paths, times, lengths, decoded(folder.folders), decoded(folder.links), failures);
}

}  // namespace

NB_MODULE(_folder, module) {
  module.doc() = "Listing one local folder.";
  module.def("scan", &scan, "path"_a);
}
