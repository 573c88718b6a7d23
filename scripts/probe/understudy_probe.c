// understudy-probe FILE SECONDS: opens every column and attribute at the root of an HDF5 file. The
// library runs it before it opens a file itself (datasets/hdf5/hdf5_probe.h): what a damaged file
// does to HDF5 happens here. It says nothing; ending with 0 in time is the good answer.

#include <hdf5.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

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

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  // A crash is a signal, whatever a sanitizer would make of it, and leaves no core.
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
  for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) signal(signals[i], SIG_DFL);
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  alarm((unsigned)atoi(argv[2]));
  // HDF5 uses memory that it has freed or never filled where a file misleads it. Filled with a
  // pattern it crashes here; elsewhere it could do harm much later.
  mallopt(M_PERTURB, 0xa5);
  // It only looks, also at a file that is being written.
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  hid_t how = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(how, 0, 1);
  hid_t file = H5Fopen(argv[1], H5F_ACC_RDONLY, how);
  if (file >= 0) {
    hsize_t at = 0;
    H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_NATIVE, &at, walk_attribute, NULL);
    H5Literate(file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, walk_link, NULL);
    H5Fclose(file);
  }
  _exit(0);
}
