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
#include <string_view>
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

// What looking at names in a folder found.
struct Found {
  std::vector<File> files;
  std::vector<std::string> links;  // to folders
  std::vector<Failure> failures;
};

struct Folder {
  struct stat status {};
  bool is_empty = true;
  std::vector<std::string> names, folders;  // names of all that are no folders
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

void look_at(int descriptor, const std::string& name, Found& found) {
  struct stat status;
  if (fstatat(descriptor, name.c_str(), &status, 0) != 0) {
    found.failures.push_back({name, errno});
  } else if (S_ISREG(status.st_mode)) {
    found.files.push_back({name, modification_time(status), static_cast<std::int64_t>(status.st_size)});
  } else if (S_ISDIR(status.st_mode)) {
    found.links.push_back(name);
  }
}

int open_folder(const char* path) { return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

// Returns 0, or what went wrong as `errno` has it.
int read_folder(const char* path, Folder& folder) {
  const int descriptor = open_folder(path);
  if (descriptor < 0) return errno;
  DIR* stream = fdopendir(descriptor);
  if (stream == nullptr || fstat(descriptor, &folder.status) != 0) {
    const int error = errno;
    stream == nullptr ? close(descriptor) : closedir(stream);
    return error;
  }
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    const std::string_view name = entry->d_name;
    folder.is_empty = folder.is_empty && (name == "." || name == "..");
    if (name[0] != '.') (is_real_folder(descriptor, *entry) ? folder.folders : folder.names).emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  closedir(stream);
  std::sort(folder.names.begin(), folder.names.end());
  std::sort(folder.folders.begin(), folder.folders.end());
  return error;
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

std::string encoded(nb::handle text) {
  const nb::object bytes = nb::steal(PyUnicode_EncodeFSDefault(text.ptr()));
  if (!bytes.is_valid()) throw nb::python_error();
  return {PyBytes_AS_STRING(bytes.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

void raise_if(int error, nb::handle path) {
  if (error == 0) return;
  errno = error;
  PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path.ptr());
  throw nb::python_error();
}

nb::tuple scan(nb::str path) {
  const std::string folder_path = encoded(path);
  Folder folder;
  int error;
  {
    nb::gil_scoped_release release;
    error = read_folder(folder_path.c_str(), folder);
  }
  raise_if(error, path);
  const nb::tuple key = nb::make_tuple(folder.status.st_dev, folder.status.st_ino);
  const nb::object empty_since = folder.is_empty ? nb::cast(modification_time(folder.status)) : nb::none();
  return nb::make_tuple(key, decoded(folder.names), decoded(folder.folders), empty_since);
}

nb::tuple look(nb::str path, nb::list names) {
  std::string prefix = encoded(path);
  std::vector<std::string> wanted;
  for (nb::handle name : names) wanted.push_back(encoded(name));
  Found found;
  int error = 0;
  {
    nb::gil_scoped_release release;
    const int descriptor = open_folder(prefix.c_str());
    if (descriptor < 0) {
      error = errno;
    } else {
      // Relative to the folder: going down the whole path each time would cost a fifth more.
      for (const std::string& name : wanted) look_at(descriptor, name, found);
      close(descriptor);
    }
  }
  raise_if(error, path);
  if (prefix.back() != '/') prefix += '/';
  nb::list paths, times, lengths, failures;
  for (const File& file : found.files) {
    paths.append(decoded(prefix + file.name));
    times.append(file.time);
    lengths.append(file.length);
  }
  for (const Failure& failure : found.failures) {
    failures.append(nb::make_tuple(decoded(prefix + failure.name), failure.error));
  }
  return nb::make_tuple(paths, times, lengths, decoded(found.links), failures);
}

}  // namespace

NB_MODULE(_folder, module) {
  module.doc() = "Listing one local folder.";
  module.def("scan", &scan, "path"_a);
  module.def("look", &look, "path"_a, "names"_a);
}
