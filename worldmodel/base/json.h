#ifndef UNDERSTUDY_JSON_H_
#define UNDERSTUDY_JSON_H_

// JSON by the letter of RFC 8259, as trees of cJSON, and values with messages that name the file.
//
// Everything that the program reads as JSON goes through us_json_parse. It refuses, with the byte,
// what the RFC does not allow (a byte order mark, leading zeros, trailing commas, control
// characters in texts, texts that are not UTF-8, lone surrogates, bytes behind the value), and of
// what it allows: a top that is not an object, names that occur twice in an object or hold a NUL,
// numbers that no double holds, and more than US_JSON_DEPTH objects and arrays in each other.
//
// Two things a tree of cJSON cannot hold are kept in its valuestring: a NUL in a text as the two
// bytes c0 80, and what was written for a number that is not a plain integer below 2^53.
//
// Threads: safe, as long as two calls do not write one path.

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_JSON_DEPTH = 127 };

// Parses a file. Free with cJSON_Delete. On failure *out is NULL.
US_API UsStatus us_json_read(const char* path, cJSON** out);

// Parses bytes; `name` stands for the file in messages.
US_API UsStatus us_json_parse(const char* name, const char* text, size_t size, cJSON** out);

// Writes a value, indented, as us_file_write does. Bytes of texts that are not UTF-8 become U+FFFD.
US_API UsStatus us_json_write(const char* path, const cJSON* json);

// 1 if the value is an integer of 0 .. 2^64 - 1 written without fraction or exponent.
US_API int us_json_whole(const cJSON* value, uint64_t* out);

// The one way in which a number becomes JSON, which has no NaN and no infinity: those are null.
// us_json_format writes x as `format` ("%.7g") says into text and returns it.
enum { US_NUMBER_CHARS = 32 };
US_API void us_json_add(cJSON* object, const char* key, double x);
US_API void us_json_append(cJSON* list, double x);
US_API const char* us_json_format(char text[US_NUMBER_CHARS], const char* format, double x);

// Fetch a member: the wrong type, or a number outside [low, high], is US_FORMAT with `name` (the
// file) and `key`; an integer must be written as one. With a non-NULL default a missing member
// takes *fallback.
US_API UsStatus us_json_number(const char* name, const cJSON* object, const char* key, double low,
                               double high, const double* fallback, double* out);
US_API UsStatus us_json_int(const char* name, const cJSON* object, const char* key, int low,
                            int high, const int* fallback, int* out);
US_API UsStatus us_json_flag(const char* name, const cJSON* object, const char* key, int fallback,
                             int* out);
// Copies a string of at most size - 1 bytes into out.
US_API UsStatus us_json_text(const char* name, const cJSON* object, const char* key,
                             const char* fallback, char* out, size_t size);

US_C_END

#endif  // UNDERSTUDY_JSON_H_
