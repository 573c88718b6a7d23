#include "datasets/hdf5/column_storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/hdf5/columns.h"
#include "datasets/hdf5/hdf5_probe.h"
#include "worldmodel/base/lock.h"

enum { kChunkBytes = 64 << 20 };  // of a chunk in any file

// ---- the file ----

// What a file that is not HDF5 is, by its first bytes.
static const char* other_format(const char* path) {
  // What people try instead of HDF5.
  unsigned char head[8] = {0};
  FILE* f = fopen(path, "rb");
  size_t n = f ? fread(head, 1, sizeof(head), f) : 0;
  if (f) fclose(f);
  if (n >= 4 && memcmp(head, "PK\3\4", 4) == 0) {
    return "a zip archive such as PyTorch's .pth; convert it to HDF5 with torch and h5py first";
  }
  if (n >= 2 && head[0] == 0x80 && head[1] < 6) {
    return "a Python pickle such as an old .pth; convert it to HDF5 with torch and h5py first";
  }
  return "something else";
}

// With H5F_ACC_TRUNC a file is made, else opened.
static hid_t open_as(const char* path, unsigned flags, hid_t how) {
  return flags == H5F_ACC_TRUNC ? H5Fcreate(path, flags, H5P_DEFAULT, how)
                                : H5Fopen(path, flags, how);
}

hid_t us_hdf5_file(const char* path, unsigned flags) {
  hid_t file = open_as(path, flags, H5P_DEFAULT);
  if (file >= 0) return file;
  // Some file systems cannot lock, and our own writers order their writes so that a file can be
  // read while it grows.
  int error = us_hdf5_lock_error();
  int no_locks = error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP;
  if (!no_locks && (flags != H5F_ACC_RDONLY || !us_lock_holder(path, NULL))) return file;
  // Without HDF5's own lock our lock file or nobody keeps others out.
  hid_t how = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(how, 0, 1);
  file = open_as(path, flags, how);
  H5Pclose(how);
  return file;
}

UsStatus us_hdf5_open(const char* path, hid_t* out) {
  *out = -1;
  us_hdf5_quiet();
  // What the system can say, in its own words.
  struct stat found;
  int error = stat(path, &found) != 0 ? errno : 0;
  // A writer gives a file its name with its first whole episode.
  if (error == ENOENT && us_lock_check(path) != US_OK) {
    return us_fail(US_IO, "%s; no episode is finished yet", us_message());
  }
  if (error) return us_fail(US_IO, "%s: cannot be opened: %s", path, strerror(error));
  if (!S_ISREG(found.st_mode)) {
    return us_fail(US_IO, "%s: expected a file, found something else", path);
  }
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return us_fail(US_IO, "%s: cannot be opened: %s", path, strerror(errno));
  close(fd);
  // What the first bytes can say.
  if (found.st_size == 0) {
    return us_fail(US_FORMAT, "%s: expected an HDF5 file, found an empty file", path);
  }
  if (H5Fis_hdf5(path) <= 0) {
    return us_fail(US_FORMAT, "%s: expected an HDF5 file, found %s", path, other_format(path));
  }
  // What only opening can say, elsewhere first.
  US_TRY(us_hdf5_probe(path));
  *out = us_hdf5_file(path, H5F_ACC_RDONLY);
  if (*out >= 0) return US_OK;
  // HDF5 gives no reason that people could use.
  if (us_hdf5_lock_error() == EAGAIN) {
    return us_fail(US_IO, "%s: another program has it open for writing", path);
  }
  return us_fail(US_FORMAT, "%s: expected a readable HDF5 file, found: %s", path, us_hdf5_reason());
}

// ---- the root ----

// A walk over the root ends at the first thing that is no column.
static herr_t check_link(hid_t file, const char* name, const H5L_info_t* link, void* arg) {
  const char* path = arg;
  // Only what is in this file and is no column is refused here.
  H5O_info_t object;
  if (link->type != H5L_TYPE_HARD) return 0;  // judged when it is opened
  if (H5Oget_info_by_name2(file, name, &object, H5O_INFO_BASIC, H5P_DEFAULT) < 0) return 0;
  const char* what = object.type == H5O_TYPE_GROUP ? "group" : NULL;
  // A column of a type that this HDF5 does not know is not ours to read.
  hid_t column = object.type == H5O_TYPE_DATASET ? H5Dopen2(file, name, H5P_DEFAULT) : -1;
  hid_t space = column >= 0 ? H5Dget_space(column) : -1;
  if (space >= 0 && H5Sget_simple_extent_ndims(space) == 0) what = "single value";
  if (space >= 0) H5Sclose(space);
  if (column >= 0) H5Dclose(column);
  if (!what) return 0;
  us_fail(US_FORMAT, "%s: expected only columns at the root, found the %s %.64s", path, what, name);
  return 1;
}

static herr_t pass_link(hid_t file, const char* name, const H5L_info_t* link, void* arg) {
  return 0;
}

UsStatus us_hdf5_check_root(const char* path, hid_t file, int others) {
  // The walk itself may fail in a damaged list.
  herr_t found = H5Literate(file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL,
                            others ? pass_link : check_link, (void*)(uintptr_t)path);
  if (found > 0) return US_FORMAT;
  if (found == 0) return US_OK;
  return us_fail(US_FORMAT, "%s: expected a readable list of columns, found: %s", path,
                 us_hdf5_reason());
}

// What us_hdf5_list_others has found.
typedef struct Others {
  const char* const* taken;
  int count;
  char* text;
  size_t size, used;
  int unnamed;  // that found no room in the text
} Others;

// Adds a name to the list while there is room, and counts the others.
static herr_t list_link(hid_t file, const char* name, const H5L_info_t* link, void* arg) {
  Others* o = arg;
  for (int i = 0; i < o->count; i++) {
    if (strcmp(o->taken[i], name) == 0) return 0;
  }
  // What this HDF5 cannot open is named all the same.
  enum { kTail = 32 };  // for " and N more"
  hid_t column = link->type == H5L_TYPE_HARD ? H5Dopen2(file, name, H5P_DEFAULT) : -1;
  H5O_info_t object = {.type = H5O_TYPE_UNKNOWN};
  if (column < 0 && link->type == H5L_TYPE_HARD)
    H5Oget_info_by_name2(file, name, &object, H5O_INFO_BASIC, H5P_DEFAULT);
  const char* why = column >= 0                     ? ""
                    : object.type == H5O_TYPE_GROUP ? " (a group)"
                                                    : " (this HDF5 cannot open it)";
  if (column >= 0) H5Dclose(column);
  size_t room = o->size - o->used;
  size_t n = strlen(name) + strlen(why) + 2;
  if (o->unnamed || n + kTail >= room) {
    o->unnamed++;
    return 0;
  }
  o->used += (size_t)snprintf(o->text + o->used, room, "%s%s%s", o->used ? ", " : "", name, why);
  return 0;
}

void us_hdf5_list_others(hid_t file, int count, const char* const* taken, char* text, size_t size) {
  Others o = {.taken = taken, .count = count, .text = text, .size = size};
  text[0] = 0;
  H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, list_link, &o);
  if (o.unnamed) {
    snprintf(text + o.used, size - o.used, "%s%d more", o.used ? " and " : "", o.unnamed);
  }
  // Names come from the file.
  for (char* c = text; *c; c++) {
    if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';  // one line stays one
  }
}

// ---- columns ----

// The Debian package that reads a filter, and the filter's name; NULL: unknown.
static const struct {
  H5Z_filter_t id;
  const char* name;
  const char* package;
} filters[] = {
    {32000, "LZF", "h5py (rewrite the file with gzip or without a filter)"},
    {32001, "Blosc", "hdf5-filter-plugin-blosc-serial"},
    {32004, "LZ4", "hdf5-filter-plugin"},
    {32008, "bitshuffle", "hdf5-filter-plugin"},
    {32013, "ZFP", "hdf5-filter-plugin-zfp-serial"},
    {32015, "Zstandard", "hdf5plugin of Python (rewrite the file without a filter)"},
    {32026, "Blosc2", "hdf5plugin of Python (rewrite the file without a filter)"},
    {307, "BZip2", "hdf5-filter-plugin"},
};

// A column is readable when all its filters are here.
static UsStatus check_filters(const char* path, const char* name, hid_t how) {
  int count = H5Pget_nfilters(how);
  for (int i = 0; i < count; i++) {
    unsigned flags, config;
    size_t values = 0;
    char text[64] = "";
    H5Z_filter_t id =
        H5Pget_filter2(how, (unsigned)i, &flags, &values, NULL, sizeof(text), text, &config);
    if (id >= 0 && H5Zfilter_avail(id) > 0) continue;
    // A filter that is known can be installed.
    for (size_t k = 0; k < sizeof(filters) / sizeof(*filters); k++) {
      if (filters[k].id != id) continue;
      return us_fail(US_FORMAT,
                     "%s: %s: expected a filter that this machine has, found %s (%d): it comes "
                     "with the package %s",
                     path, name, filters[k].name, (int)id, filters[k].package);
    }
    return us_fail(US_FORMAT,
                   "%s: %s: expected a filter that this machine has, found number %d \"%.40s\"",
                   path, name, (int)id, text);
  }
  return US_OK;
}

// A number that is not the one expected.
static UsStatus refuse(const char* path, const char* name, const char* expected,
                       unsigned long long wanted, unsigned long long found) {
  return us_fail(US_FORMAT, "%s: %s: expected %s %llu, found %llu", path, name, expected, wanted,
                 found);
}

// Chunks all have to be there: their number is what bounds a column's extents.
static UsStatus check_chunks(const char* path, const char* name, hid_t column, hid_t how,
                             hsize_t file_bytes, size_t number, int rank, const hsize_t* dims) {
  // Bytes of a chunk and the number of chunks, where neither may overflow.
  hsize_t chunk[H5S_MAX_RANK], bytes = number, wanted = 1, found = 0;
  if (H5Pget_chunk(how, rank, chunk) != rank) {
    return us_fail(US_FORMAT, "%s: %s: expected readable chunks", path, name);
  }
  for (int i = 0; i < rank; i++) {
    hsize_t along = chunk[i] ? (dims[i] + chunk[i] - 1) / chunk[i] : 0;
    if (__builtin_mul_overflow(bytes, chunk[i], &bytes) ||
        __builtin_mul_overflow(wanted, along, &wanted) || dims[i] > INT64_MAX) {
      return us_fail(US_FORMAT, "%s: %s: expected a sensible size, found one that overflows", path,
                     name);
    }
  }
  // A chunk is read as a whole, so its size is bounded too.
  hsize_t most = file_bytes > kChunkBytes ? file_bytes : kChunkBytes;
  if (bytes > most) return refuse(path, name, "chunks of at most this many bytes:", most, bytes);
  // All of them have to be written.
  hid_t space = H5Dget_space(column);
  herr_t bad = H5Dget_num_chunks(column, space, &found);
  if (space >= 0) H5Sclose(space);
  if (bad < 0) return us_fail(US_FORMAT, "%s: %s: expected readable chunks", path, name);
  if (found != wanted) return refuse(path, name, "chunks written:", wanted, found);
  return US_OK;
}

// A column in one piece has to lie within the file.
static UsStatus check_whole(const char* path, const char* name, hid_t column, hsize_t file_bytes,
                            size_t number, int rank, const hsize_t* dims) {
  hsize_t bytes = number;
  for (int i = 0; i < rank; i++) {
    if (__builtin_mul_overflow(bytes, dims[i], &bytes)) bytes = UINT64_MAX;
    if (bytes > file_bytes) {
      return us_fail(US_FORMAT, "%s: %s: expected numbers within the file's %llu bytes, found more",
                     path, name, (unsigned long long)file_bytes);
    }
  }
  // Less is a column that was never written to its end.
  hsize_t stored = H5Dget_storage_size(column);
  if (stored < bytes) return refuse(path, name, "bytes written:", bytes, stored);
  return US_OK;
}

// What a column promises must be in the file: nothing is allocated for a lie.
static UsStatus check_storage(const char* path, hid_t file, const char* name, hid_t column,
                              hid_t how) {
  hsize_t dims[H5S_MAX_RANK], file_bytes = 0;
  // Nothing outside this file is read.
  if (H5Pget_external_count(how) > 0 || H5Pget_layout(how) == H5D_VIRTUAL) {
    return us_fail(US_FORMAT, "%s: %s: expected numbers in this file, found them kept in others",
                   path, name);
  }
  US_TRY(check_filters(path, name, how));
  if (H5Fget_filesize(file, &file_bytes) < 0) file_bytes = 0;
  // Sizes of the numbers, which may not be texts of any length.
  hid_t space = H5Dget_space(column), type = H5Dget_type(column);
  int rank = H5Sis_simple(space) > 0 ? H5Sget_simple_extent_dims(space, dims, NULL) : -1;
  size_t number = H5Tget_size(type);
  int text = H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0;
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  if (rank < 0 || number == 0 || text) {
    return us_fail(US_FORMAT, "%s: %s: expected a column of numbers, found %s", path, name,
                   text ? "texts or lists of any length (h5py's object)" : "none");
  }
  if (rank == 0) return US_OK;
  return H5Pget_layout(how) == H5D_CHUNKED
             ? check_chunks(path, name, column, how, file_bytes, number, rank, dims)
             : check_whole(path, name, column, file_bytes, number, rank, dims);
}

UsStatus us_column_open(const char* path, hid_t file, const char* name, hid_t* out) {
  *out = -1;
  // A link could lead to any other file.
  H5L_info_t link;
  if (H5Lget_info(file, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
    return us_fail(US_FORMAT, "%s: %s: expected a column in this file, found a link to elsewhere",
                   path, name);
  }
  hid_t column = H5Dopen2(file, name, H5P_DEFAULT);
  if (column < 0) {
    return us_fail(US_FORMAT, "%s: %s: expected a column, found: %s", path, name, us_hdf5_reason());
  }
  hid_t how = H5Dget_create_plist(column);
  UsStatus status = how >= 0 ? check_storage(path, file, name, column, how)
                             : us_fail(US_FORMAT, "%s: %s: expected a readable column", path, name);
  if (how >= 0) H5Pclose(how);
  if (status == US_OK) {
    *out = column;
  } else {
    H5Dclose(column);
  }
  return status;
}

hsize_t us_column_chunk(hid_t column) {
  hsize_t chunk[H5S_MAX_RANK] = {1};
  hid_t how = H5Dget_create_plist(column);
  if (how >= 0 && H5Pget_layout(how) == H5D_CHUNKED) H5Pget_chunk(how, H5S_MAX_RANK, chunk);
  if (how >= 0) H5Pclose(how);
  return chunk[0] ? chunk[0] : 1;
}

int us_column_extents(hid_t column, hsize_t* dims) {
  hid_t space = H5Dget_space(column);
  int rank = H5Sget_simple_extent_dims(space, dims, NULL);
  if (space >= 0) H5Sclose(space);
  return rank < 0 ? 0 : rank;
}

const char* us_shape_text(int rank, const hsize_t* dims, char text[US_SHAPE_CHARS]) {
  size_t n = 0;
  text[0] = 0;
  for (int i = 0; i < rank && n + 24 < US_SHAPE_CHARS; i++) {
    n += (size_t)snprintf(text + n, US_SHAPE_CHARS - n, "%s%llu", i ? ", " : "",
                          (unsigned long long)dims[i]);
  }
  return text;
}

// A type in words, for messages.
const char* us_type_text(hid_t type, char text[64]) {
  static const char* const name[] = {"integer", "float", "time", "text", "bit field", "opaque"};
  H5T_class_t class = H5Tget_class(type);
  const char* sign = "";
  if (class == H5T_INTEGER) sign = H5Tget_sign(type) == H5T_SGN_NONE ? "unsigned " : "signed ";
  const char* order = H5Tget_order(type) == H5T_ORDER_BE ? "big-endian " : "";
  snprintf(text, 64, "%s%s%zu-bit %s", order, sign, 8 * H5Tget_size(type),
           class >= 0 && class <= H5T_OPAQUE ? name[class] : "compound or enumeration");
  return text;
}
