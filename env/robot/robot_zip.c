// A robot as a zip. Writing fixes all that is not a file's name or bytes; reading believes nothing
// that the archive says of itself.

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include "env/robot.h"
#include "worldmodel/base/text.h"

enum { DATE = 0x21 };                          // 1 January 1980, the first that a zip knows
static const zip_uint64_t most_packed = 1032;  // bytes that a byte of deflate can stand for

static UsStatus refuse(const char* path, zip_error_t* e) {
  return us_fail(US_FORMAT, "%s: expected a zip of a robot, found: %s", path,
                 us_shown(zip_error_strerror(e)));
}

// ---- writing ----

static int add(zip_t* z, const UsRobotFile* f) {
  zip_source_t* s = zip_source_buffer(z, f->data, f->size, 0);
  zip_int64_t i = s ? zip_file_add(z, f->name, s, ZIP_FL_ENC_UTF_8) : -1;
  if (i < 0) {
    zip_source_free(s);
    return 0;
  }
  zip_uint64_t at = (zip_uint64_t)i;
  return zip_set_file_compression(z, at, ZIP_CM_DEFLATE, 6) == 0 &&
         zip_file_set_dostime(z, at, 0, DATE, 0) == 0 &&
         zip_file_set_external_attributes(z, at, 0, ZIP_OPSYS_UNIX,
                                          (zip_uint32_t)(S_IFREG | 0644) << 16) == 0;
}

// Reads what was written into a source of memory.
static char* take_bytes(zip_source_t* s, size_t* size) {
  zip_stat_t stat;
  char* bytes = NULL;
  if (zip_source_stat(s, &stat) == 0 && zip_source_open(s) == 0) {
    *size = (size_t)stat.size;
    bytes = malloc(*size + 1);
    if (bytes && zip_source_read(s, bytes, *size) != (zip_int64_t)*size) {
      free(bytes);
      bytes = NULL;
    }
    zip_source_close(s);
  }
  return bytes;
}

static int is_there(const char* path, const char* bytes, size_t size) {
  void* found;
  size_t n;
  if (!us_file_exists(path) || us_file_read(path, size, &found, &n) != US_OK) return 0;
  int same = n == size && memcmp(found, bytes, n) == 0;
  free(found);
  return same;
}

UsStatus us_robot_write(const char* path, const UsRobot* r) {
  zip_error_t e;
  zip_error_init(&e);
  zip_source_t* s = zip_source_buffer_create(NULL, 0, 0, &e);
  zip_t* z = s ? zip_open_from_source(s, ZIP_TRUNCATE, &e) : NULL;
  if (!z) {
    zip_source_free(s);
    return us_fail(US_MEMORY, "%s: out of memory", path);
  }
  zip_source_keep(s);  // behind the closing
  int good = 1;
  for (int i = 0; i < r->count && good; i++) good = add(z, &r->file[i]);
  UsStatus status = US_OK;
  if (!good || zip_close(z) != 0) {
    status = us_fail(US_IO, "%s: cannot be written: %s", path, us_shown(zip_strerror(z)));
    zip_discard(z);
  }
  size_t size = 0;
  char* bytes = status == US_OK ? take_bytes(s, &size) : NULL;
  if (status == US_OK && !bytes) status = us_fail(US_MEMORY, "%s: out of memory", path);
  if (status == US_OK && !is_there(path, bytes, size)) status = us_file_write(path, bytes, size);
  zip_source_free(s);
  free(bytes);
  return status;
}

// ---- reading ----

// Whether the file of an entry may be read at all, given the bytes of those before.
static UsStatus check_entry(const char* path, zip_t* z, const zip_stat_t* e, zip_uint64_t before) {
  enum { SAID = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD };
  if ((e->valid & SAID) != SAID) return us_fail(US_FORMAT, "%s: expected entries with sizes", path);
  const char* name = us_shown(e->name);
  zip_uint8_t system = 0;
  zip_uint32_t rights = 0;
  zip_file_get_external_attributes(z, e->index, 0, &system, &rights);
  unsigned kind = system == ZIP_OPSYS_UNIX ? (rights >> 16) & S_IFMT : 0;
  if (kind != 0 && kind != S_IFREG) {
    return us_fail(US_FORMAT, "%s: %s: expected a file, found %s", path, name,
                   kind == S_IFLNK ? "a link" : "something else");
  }
  int packed = e->comp_method == ZIP_CM_DEFLATE, plain = e->comp_method == ZIP_CM_STORE;
  if ((!packed && !plain) || ((e->valid & ZIP_STAT_ENCRYPTION_METHOD) && e->encryption_method)) {
    return us_fail(US_FORMAT, "%s: %s: expected it stored or deflated, found method %d%s", path,
                   name, e->comp_method, packed || plain ? ", encrypted" : "");
  }
  if (e->size > US_ROBOT_BYTES - before) {
    return us_fail(US_FORMAT, "%s: %s: expected at most %d bytes in all, found %llu more", path,
                   name, US_ROBOT_BYTES, (unsigned long long)e->size);
  }
  if (e->size / most_packed > e->comp_size) {
    return us_fail(US_FORMAT, "%s: %s: expected at most %llu bytes of %llu packed ones, found %llu",
                   path, name, (unsigned long long)(most_packed * (e->comp_size + 1)),
                   (unsigned long long)e->comp_size, (unsigned long long)e->size);
  }
  return US_OK;
}

// Adds an entry's file. libzip compares its checksum at the end, and says so in the read behind it.
static UsStatus read_entry(const char* path, zip_t* z, const zip_stat_t* e, UsRobot* r) {
  char* data = malloc((size_t)e->size + 1);
  if (!data) return us_fail(US_MEMORY, "%s: out of memory", path);
  zip_file_t* f = zip_fopen_index(z, e->index, 0);
  zip_int64_t n = f ? zip_fread(f, data, e->size + 1) : -1;
  char none;
  UsStatus status = US_OK;
  if (n < 0 || (zip_uint64_t)n != e->size || zip_fread(f, &none, 1) != 0) {
    const char* why = f ? zip_error_strerror(zip_file_get_error(f)) : zip_strerror(z);
    status = us_fail(US_FORMAT, "%s: %s: expected %llu whole bytes, found %lld (%s)", path,
                     us_shown(e->name), (unsigned long long)e->size, (long long)n, us_shown(why));
  }
  if (status == US_OK) status = us_robot_add(r, e->name, data, (size_t)e->size);
  if (f) zip_fclose(f);
  free(data);
  return status;
}

static UsStatus read_all(const char* path, zip_t* z, UsRobot* r) {
  zip_int64_t count = zip_get_num_entries(z, 0);
  if (count < 1 || count > US_ROBOT_FILES) {
    return us_fail(US_FORMAT, "%s: expected 1 to %d files, found %lld", path, US_ROBOT_FILES,
                   (long long)count);
  }
  // Everything is checked before anything is unpacked.
  zip_uint64_t bytes = 0;
  zip_stat_t e;
  for (int pass = 0; pass < 2; pass++) {
    for (zip_uint64_t i = 0; i < (zip_uint64_t)count; i++) {
      if (zip_stat_index(z, i, 0, &e) != 0) return refuse(path, zip_get_error(z));
      US_TRY(pass ? read_entry(path, z, &e, r) : check_entry(path, z, &e, bytes));
      bytes += e.size;
    }
  }
  return us_robot_check(path, r);
}

UsStatus us_robot_read(const char* path, UsRobot* r) {
  void* bytes;
  size_t size;
  US_TRY(us_file_read(path, US_ROBOT_BYTES, &bytes, &size));
  zip_error_t e;
  zip_error_init(&e);
  zip_source_t* s = zip_source_buffer_create(bytes, size, 0, &e);
  zip_t* z = s ? zip_open_from_source(s, ZIP_RDONLY | ZIP_CHECKCONS, &e) : NULL;
  UsStatus status = z ? read_all(path, z, r) : refuse(path, &e);
  if (z) {
    zip_discard(z);
  } else {
    zip_source_free(s);
  }
  free(bytes);
  zip_error_fini(&e);
  if (status != US_OK) us_robot_free(r);
  return status;
}
