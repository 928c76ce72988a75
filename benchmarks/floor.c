/* The floor of reading headers: open, ask for the size, read the first 16 KB and close. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

long read_prefixes(const char *const *paths, long count) {
  static char prefix[16 * 1024];
  long bytes = 0;
  for (long i = 0; i < count; i++) {
    int file = open(paths[i], O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) return -1;
    bytes += pread(file, prefix, sizeof prefix, 0);
    close(file);
  }
  return bytes;
}
