#ifndef UNDERSTUDY_FILE_H_
#define UNDERSTUDY_FILE_H_

// Whole files, folders and hashes, with messages that name the file; json.h reads JSON.
//
// Threads: safe, as long as two calls do not write one path.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/json.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_HASH_CHARS = 65 };  // SHA-256 in hex and its terminator

// Reads a whole regular file into *data, which the caller frees; a zero byte follows the data.
// Files over `limit` bytes are refused; 0: no limit. Large files show a bar, and end at Ctrl-C. On
// failure *data is NULL.
US_API UsStatus us_file_read(const char* path, size_t limit, void** data, size_t* size);

// Replaces `path` by these bytes: a temporary file beside it, fsync, rename. A reader sees the old
// file or the new one.
US_API UsStatus us_file_write(const char* path, const void* data, size_t size);

// 1 if the path exists.
US_API int us_file_exists(const char* path);

// 1 if both paths are there and are the same file.
US_API int us_file_same(const char* a, const char* b);

// Whether what is written next may replace `path`: US_USAGE where it is one of the files `inputs`
// (ends with NULL), US_IO where it is a file that does not begin with `begins`, as what will be
// written does. Nullable: begins. One that is not there or empty is fine.
US_API UsStatus us_file_replaceable(const char* path, const char* begins,
                                    const char* const* inputs);

// US_IO for a folder whose path leaves no room for the names of files in it.
US_API UsStatus us_folder_check(const char* path);

// Makes a folder and its parents, after us_folder_check.
US_API UsStatus us_folder_make(const char* path);

// Makes the folder that `path`, a file or a folder, lies in, and its parents.
US_API UsStatus us_folder_make_above(const char* path);

// Joins with a slash into out (size bytes); too long a path is an assertion.
US_API const char* us_path_join(char* out, size_t size, const char* folder, const char* name);

// A path from the root, without . and .. and double slashes, by its letters alone; and the way from
// a folder to a path, both such. The caller frees them; NULL: no memory, or no current folder.
US_API char* us_path_absolute(const char* path);
US_API char* us_path_between(const char* folder, const char* path);

// Finds a file that comes with this library, such as a helper program: `asked`, and nothing else,
// where somebody names one; else the first of `places`, relative to the library's own folder, that
// access(2) grants `mode` of. 1, or 0 when there is none: then out (size bytes) is what was tried
// last. Nullable: asked.
US_API int us_file_beside(const char* asked, int count, const char* const* places, int mode,
                          char* out, size_t size);

// SHA-256 of bytes and of a file, as lower-case hex. Files show a bar, and end at Ctrl-C.
US_API void us_hash_bytes(const void* data, size_t size, char hex[US_HASH_CHARS]);
US_API UsStatus us_hash_file(const char* path, char hex[US_HASH_CHARS]);

// SHA-256 of `count` parts one behind the other: data (count), size (count). Ends at Ctrl-C; `what`
// stands for them in messages.
US_API UsStatus us_hash_parts(const char* what, int count, const void* const* data,
                              const size_t* size, char hex[US_HASH_CHARS]);

US_C_END

#endif  // UNDERSTUDY_FILE_H_
