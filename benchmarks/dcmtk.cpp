// The baseline DCMTK: loads each header that is named on standard input, up to pixel data, and writes it as DICOM JSON.
// Prints the microseconds of processor time that a file took.
#include <ctime>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmdata/dcjson.h>

int main() {
  std::vector<std::string> paths;
  for (std::string path; std::getline(std::cin, path);) paths.push_back(path);
  DcmJsonFormatCompact format;
  std::size_t characters = 0;
  const std::clock_t begin = std::clock();
  for (const auto& path : paths) {
    DcmFileFormat file;
    if (file.loadFileUntilTag(path.c_str(), EXS_Unknown, EGL_noChange, DCM_MaxReadLength, ERM_autoDetect, DCM_PixelData).bad())
      return 1;
    std::ostringstream json;
    if (file.writeJson(json, format).bad()) return 1;
    characters += json.str().size();
  }
  const double seconds = double(std::clock() - begin) / CLOCKS_PER_SEC;
  if (characters == 0) return 1;
  std::cout << seconds / double(paths.size()) * 1e6 << "\n";
}
