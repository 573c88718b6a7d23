#include "datasets/hdf5/hdf5_probe.h"

#include <errno.h>
#include <hdf5.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kSeconds = 10, kBytesPerSecond = 20 << 20 };  // time a child has

// ---- the child ----

static herr_t walk_attribute(hid_t file, const char* name, const H5A_info_t* info, void* arg) {
  hid_t attribute = H5Aopen(file, name, H5P_DEFAULT);
  if (attribute < 0) return 0;
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  double room[64];
  if (info->data_size <= sizeof(room) && H5Tdetect_class(type, H5T_VLEN) <= 0 &&
      H5Tis_variable_str(type) <= 0) {
    H5Aread(attribute, type, room);
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return 0;
}

static herr_t walk_link(hid_t file, const char* name, const H5L_info_t* link, void* arg) {
  if (link->type != H5L_TYPE_HARD) return 0;
  hid_t column = H5Dopen2(file, name, H5P_DEFAULT);
  if (column < 0) return 0;
  hid_t how = H5Dget_create_plist(column), space = H5Dget_space(column);
  hid_t type = H5Dget_type(column);
  hsize_t chunks;
  H5Tget_size(type);
  H5Dget_storage_size(column);
  if (H5Pget_layout(how) == H5D_CHUNKED) H5Dget_num_chunks(column, space, &chunks);
  H5Tclose(type);
  H5Sclose(space);
  H5Pclose(how);
  H5Dclose(column);
  return 0;
}

_Noreturn static void walk(const char* path, unsigned seconds) {
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
  for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) signal(signals[i], SIG_DFL);
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  alarm(seconds);
  hid_t how = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(how, 0, 1);  // it only looks, also at a file that is being written
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, how);
  if (file >= 0) {
    hsize_t at = 0;
    H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_NATIVE, &at, walk_attribute, NULL);
    H5Literate(file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, walk_link, NULL);
    H5Fclose(file);
  }
  _exit(0);
}

// ---- the parent ----

UsStatus us_hdf5_probe(const char* path) {
  struct stat found;
  off_t bytes = stat(path, &found) == 0 ? found.st_size : 0;
  unsigned seconds = kSeconds + (unsigned)(bytes / kBytesPerSecond);
  pid_t child = fork();
  if (child < 0) return us_fail(US_IO, "%s: no process to look at it: %s", path, strerror(errno));
  if (child == 0) walk(path, seconds);
  int how = 0;
  while (waitpid(child, &how, 0) < 0) {
    if (errno != EINTR) return us_fail(US_IO, "%s: %s", path, strerror(errno));
  }
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return US_OK;
  if (WIFSIGNALED(how) && WTERMSIG(how) == SIGALRM) {
    return us_fail(US_FORMAT,
                   "%s: expected a readable HDF5 file, found one that keeps the library busy for "
                   "more than %u s",
                   path, seconds);
  }
  return us_fail(US_FORMAT, "%s: expected a readable HDF5 file, found one that crashes the library",
                 path);
}
