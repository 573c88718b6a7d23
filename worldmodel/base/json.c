// A recursive descent through the text builds the tree; what members hold is fetched at the end.

#define _GNU_SOURCE
#include "worldmodel/base/json.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"
#include "worldmodel/base/text.h"

static const double kExact = 9007199254740992.0;  // 2^53: doubles hold every integer below

typedef struct Reader {
  const char* name;  // of the file
  const char* text;  // (size), not terminated
  size_t size, at;
  int depth;  // objects and arrays around the place
} Reader;

static UsStatus refuse(const Reader* r, const char* found) {
  return us_fail(US_FORMAT, "%s: expected JSON, found %s at byte %zu", r->name, found, r->at);
}

static UsStatus no_memory(const Reader* r) {
  return us_fail(US_MEMORY, "%s: out of memory", r->name);
}

// "expected JSON, found 'x' where <what> should stand".
static UsStatus refuse_here(const Reader* r, const char* what) {
  char found[96];
  unsigned char c = r->at < r->size ? (unsigned char)r->text[r->at] : 0;
  if (r->at >= r->size) {
    snprintf(found, sizeof(found), "the end where %s should stand", what);
  } else if (c > ' ' && c < 0x7f) {
    snprintf(found, sizeof(found), "'%c' where %s should stand", c, what);
  } else {
    snprintf(found, sizeof(found), "the byte 0x%02x where %s should stand", c, what);
  }
  return refuse(r, found);
}

static void skip_space(Reader* r) {
  while (r->at < r->size) {
    char c = r->text[r->at];
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
    r->at++;
  }
}

// Passes `c` if it is what comes next.
static int take(Reader* r, char c) {
  int there = r->at < r->size && r->text[r->at] == c;
  r->at += (size_t)there;
  return there;
}

// ---- texts ----

// Four hex digits behind \u; -1 if they are not.
static int read_hex(Reader* r) {
  int value = 0;
  for (int i = 0; i < 4; i++, r->at++) {
    char c = r->at < r->size ? r->text[r->at] : 0;
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

// What follows a backslash, into *to.
static UsStatus read_escape(Reader* r, char** to) {
  static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
  char c = r->at < r->size ? r->text[r->at] : 0;
  // The short ones stand for one character each.
  const char* known = c ? strchr(from, c) : NULL;
  if (known) {
    r->at++;
    *(*to)++ = into[known - from];
    return US_OK;
  }
  if (!take(r, 'u')) return refuse_here(r, "an escape");
  // A character beyond 16 bits is written as two halves, which only count together.
  int code = read_hex(r);
  if (code < 0) return refuse_here(r, "a hex digit");
  if (code >= 0xdc00 && code < 0xe000) return refuse(r, "a lone surrogate");
  if (code >= 0xd800 && code < 0xdc00) {
    int low = take(r, '\\') && take(r, 'u') ? read_hex(r) : -1;
    if (low < 0xdc00 || low >= 0xe000) return refuse(r, "a lone surrogate");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  // As UTF-8, a NUL as c0 80: further bytes hold six bits each, the first one what is left.
  static const int lead[] = {0, 0xc0, 0xe0, 0xf0};
  int more = code > 0 && code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  *(*to)++ = (char)(lead[more] | code >> 6 * more);
  while (more-- > 0) *(*to)++ = (char)(0x80 | (code >> 6 * more & 0x3f));
  return US_OK;
}

// A text, behind its opening quote. No escape is shorter than what it stands for. Whatever *out is
// after a failure is the caller's to free.
static UsStatus read_text(Reader* r, char** out) {
  // Room up to the closing quote.
  size_t end = r->at;
  while (end < r->size && r->text[end] != '"') end += r->text[end] == '\\' ? 2 : 1;
  char* to = *out = cJSON_malloc(end - r->at + 2);
  if (!to) return no_memory(r);
  while (!take(r, '"')) {
    // What no text may hold, then what stands for something else, then whole characters.
    if (r->at >= r->size) return refuse_here(r, "the end of a text");
    if ((unsigned char)r->text[r->at] < 0x20) return refuse(r, "a control character in a text");
    if (take(r, '\\')) {
      US_TRY(read_escape(r, &to));
      continue;
    }
    size_t n = us_utf8(r->text + r->at, r->size - r->at, NULL);
    if (n == 0) return refuse(r, "bytes that are not UTF-8");
    to = mempcpy(to, r->text + r->at, n);
    r->at += n;
  }
  *to = 0;
  return US_OK;
}

// ---- numbers ----

static size_t skip_digits(Reader* r) {
  size_t from = r->at;
  while (r->at < r->size && r->text[r->at] >= '0' && r->text[r->at] <= '9') r->at++;
  return r->at - from;
}

static UsStatus read_number(Reader* r, cJSON** out) {
  // A zero stands alone before the point. Plain: an integer that is not "-0".
  size_t from = r->at;
  int minus = take(r, '-'), zero = take(r, '0'), plain = !(minus && zero);
  if (zero && r->at < r->size && r->text[r->at] >= '0' && r->text[r->at] <= '9') {
    return refuse(r, "a number with a leading zero");
  }
  if (!zero && skip_digits(r) == 0) return refuse_here(r, "a digit");
  // Fraction and exponent have a digit each at least.
  if (take(r, '.')) {
    plain = 0;
    if (skip_digits(r) == 0) return refuse_here(r, "a digit");
  }
  if (take(r, 'e') || take(r, 'E')) {
    plain = 0;
    if (!take(r, '+')) take(r, '-');
    if (skip_digits(r) == 0) return refuse_here(r, "a digit");
  }
  // The number's own text, for strtod, which wants the point of the locale.
  size_t n = r->at - from;
  char* text = cJSON_malloc(n + 1);
  if (!text) return no_memory(r);
  memcpy(text, r->text + from, n);
  text[n] = 0;
  char* point = strchr(text, '.');
  if (point) *point = localeconv()->decimal_point[0];
  double x = strtod(text, NULL);
  if (point) *point = '.';
  *out = cJSON_CreateNumber(x);
  // Written otherwise than cJSON would write it: the text stays with the number.
  if (*out && (!plain || fabs(x) >= kExact)) {
    (*out)->valuestring = text;
  } else {
    cJSON_free(text);
  }
  if (!*out) return no_memory(r);
  // A number beyond every double is named by its first byte.
  r->at = isfinite(x) ? r->at : from;
  return isfinite(x) ? US_OK : refuse(r, "a number beyond 1.8e308");
}

// ---- objects, arrays and the rest ----

static int compare_names(const void* a, const void* b) {
  return strcmp(*(const char* const*)a, *(const char* const*)b);
}

static UsStatus read_value(Reader* r, cJSON** out);

static UsStatus read_member(Reader* r, cJSON* object) {
  char* name = NULL;
  cJSON* value = NULL;
  skip_space(r);
  if (!take(r, '"')) return refuse_here(r, "a name");
  UsStatus status = read_text(r, &name);
  // Names end at their NUL in C: one inside could hide another name.
  if (status == US_OK && strstr(name, "\xc0\x80")) status = refuse(r, "a NUL in a name");
  skip_space(r);
  if (status == US_OK && !take(r, ':')) status = refuse_here(r, "':'");
  if (status == US_OK) status = read_value(r, &value);
  // Nothing of a member that failed stays.
  if (status != US_OK) {
    cJSON_free(name);
    cJSON_Delete(value);
    return status;
  }
  value->string = name;
  cJSON_AddItemToArray(object, value);  // with its name: an object's list is an array's
  return US_OK;
}

// Members or elements up to `close`, behind the opening bracket.
static UsStatus read_list(Reader* r, cJSON* list, char close) {
  size_t n = 0;
  // Each level is a level of calls here, and again where the tree is freed.
  if (++r->depth > US_JSON_DEPTH) return refuse(r, "too many brackets in each other");
  skip_space(r);
  while (n > 0 || !take(r, close)) {
    cJSON* value = NULL;
    // A value, of an object with its name before it; a failure leaves it to the tree's owner.
    if (close == '}') {
      US_TRY(read_member(r, list));
    } else {
      UsStatus status = read_value(r, &value);
      if (value) cJSON_AddItemToArray(list, value);
      US_TRY(status);
    }
    n++;
    // Then an end or a comma, behind which another must follow.
    skip_space(r);
    if (take(r, close)) break;
    if (!take(r, ',')) return refuse_here(r, close == '}' ? "',' or '}'" : "',' or ']'");
  }
  r->depth--;
  if (close != '}' || n < 2) return US_OK;
  // Two members of one name mean two things to two readers: sorted, twins stand side by side.
  const char** names = malloc(n * sizeof(*names));
  if (!names) return no_memory(r);
  size_t i = 0;
  const cJSON* child;
  cJSON_ArrayForEach(child, list) names[i++] = child->string;
  qsort(names, n, sizeof(*names), compare_names);
  UsStatus status = US_OK;
  for (i = 1; i < n && status == US_OK; i++) {
    if (strcmp(names[i - 1], names[i]) != 0) continue;
    status = us_fail(US_FORMAT, "%s: found \"%.64s\" twice", r->name, names[i]);
  }
  free(names);
  return status;
}

// Passes `word` and gives its value.
static UsStatus read_word(Reader* r, const char* word, cJSON* value, cJSON** out) {
  // The value is the caller's to delete, also where the word is another.
  size_t n = strlen(word);
  *out = value;
  if (!value) return no_memory(r);
  if (r->size - r->at < n || memcmp(r->text + r->at, word, n) != 0) {
    return refuse_here(r, "a value");
  }
  r->at += n;
  return US_OK;
}

// Whatever *out is after a failure is the caller's to delete.
static UsStatus read_value(Reader* r, cJSON** out) {
  skip_space(r);
  char c = r->at < r->size ? r->text[r->at] : 0;
  if (c == '{' || c == '[') {
    r->at++;
    *out = c == '{' ? cJSON_CreateObject() : cJSON_CreateArray();
    return *out ? read_list(r, *out, c == '{' ? '}' : ']') : no_memory(r);
  }
  if (take(r, '"')) {
    // As a text without a copy of it.
    *out = cJSON_CreateNull();
    if (!*out) return no_memory(r);
    (*out)->type = cJSON_String;
    return read_text(r, &(*out)->valuestring);
  }
  if (c == '-' || (c >= '0' && c <= '9')) return read_number(r, out);
  if (c == 't') return read_word(r, "true", cJSON_CreateTrue(), out);
  if (c == 'f') return read_word(r, "false", cJSON_CreateFalse(), out);
  if (c == 'n') return read_word(r, "null", cJSON_CreateNull(), out);
  return refuse_here(r, "a value");
}

UsStatus us_json_parse(const char* name, const char* text, size_t size, cJSON** out) {
  Reader r = {.name = name, .text = text, .size = size};
  *out = NULL;
  // One object with nothing but space around it.
  if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) return refuse(&r, "a byte order mark");
  skip_space(&r);
  if (r.at < size && text[r.at] != '{') {
    return us_fail(US_FORMAT, "%s: expected one JSON object, found something else", name);
  }
  UsStatus status = read_value(&r, out);
  skip_space(&r);
  if (status == US_OK && r.at < size) status = refuse_here(&r, "the end");
  // A failure anywhere gives up the whole tree.
  if (status != US_OK) {
    cJSON_Delete(*out);
    *out = NULL;
  }
  return status;
}

// ---- files ----

UsStatus us_json_read(const char* path, cJSON** out) {
  void* data;
  size_t size;
  *out = NULL;
  US_TRY(us_file_read(path, (size_t)64 << 20, &data, &size));
  UsStatus status = us_json_parse(path, data, size, out);
  free(data);
  return status;
}

UsStatus us_json_write(const char* path, const cJSON* json) {
  char* text = cJSON_Print(json);
  // A copy with U+FFFD for every byte that is not UTF-8, as a file's name may hold: three bytes for
  // one at most. A line break ends it.
  size_t left = text ? strlen(text) : 0, n;
  char *valid = text ? malloc(3 * left + 1) : NULL, *to = valid;
  for (const char* at = text; valid && left > 0; at += n, left -= n) {
    n = us_utf8(at, left, NULL);
    to = mempcpy(to, n ? at : "\xef\xbf\xbd", n ? n : 3);
    n += !n;
  }
  if (valid) *to++ = '\n';
  UsStatus status = valid ? us_file_write(path, valid, (size_t)(to - valid))
                          : us_fail(US_MEMORY, "%s: out of memory", path);
  cJSON_free(text);
  free(valid);
  return status;
}

// ---- members ----

int us_json_whole(const cJSON* value, uint64_t* out) {
  if (!cJSON_IsNumber(value)) return 0;
  const char* text = value->valuestring;
  double x = value->valuedouble;
  // Beyond 2^53 the text alone has all digits.
  if (text) {
    char* end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] != '-' && *end == 0 && errno == 0;
  }
  // Below, a double without a fraction is the integer.
  if (!(x >= 0 && x < kExact) || x != floor(x)) return 0;
  *out = (uint64_t)x;
  return 1;
}

static cJSON* number_or_null(double x) {
  return isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull();
}

void us_json_add(cJSON* object, const char* key, double x) {
  cJSON_AddItemToObject(object, key, number_or_null(x));
}

void us_json_append(cJSON* list, double x) {
  cJSON_AddItemToArray(list, number_or_null(x));
}

const char* us_json_format(char text[US_NUMBER_CHARS], const char* format, double x) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(text, US_NUMBER_CHARS, isfinite(x) ? format : "null", x);
#pragma GCC diagnostic pop
  return text;
}

UsStatus us_json_number(const char* name, const cJSON* object, const char* key, double low,
                        double high, const double* fallback, double* out) {
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(object, key);
  if (!value && fallback) {
    *out = *fallback;
    return US_OK;
  }
  if (!value) return us_fail(US_FORMAT, "%s: expected a number \"%s\", found none", name, key);
  if (!cJSON_IsNumber(value)) {
    return us_fail(US_FORMAT, "%s: expected a number for \"%s\", found another type", name, key);
  }
  // NaN is in no range.
  double x = value->valuedouble;
  if (!(x >= low && x <= high)) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" in [%g, %g], found %g", name, key, low, high, x);
  }
  *out = x;
  return US_OK;
}

UsStatus us_json_int(const char* name, const cJSON* object, const char* key, int low, int high,
                     const int* fallback, int* out) {
  double x = 0, y = fallback ? *fallback : 0;
  US_TRY(us_json_number(name, object, key, low, high, fallback ? &y : NULL, &x));
  // 1.0 and 1e3 are no integers: the parser kept their texts.
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(object, key);
  const char* text = value ? value->valuestring : NULL;
  if (text || x != floor(x)) {
    char number[32];
    snprintf(number, sizeof(number), "%g", x);
    return us_fail(US_FORMAT, "%s: expected a whole number for \"%s\", found %.32s", name, key,
                   text ? text : number);
  }
  *out = (int)x;
  return US_OK;
}

UsStatus us_json_flag(const char* name, const cJSON* object, const char* key, int fallback,
                      int* out) {
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(object, key);
  *out = fallback;
  if (!value) return US_OK;
  if (!cJSON_IsBool(value)) {
    return us_fail(US_FORMAT, "%s: expected true or false for \"%s\"", name, key);
  }
  *out = cJSON_IsTrue(value);
  return US_OK;
}

UsStatus us_json_text(const char* name, const cJSON* object, const char* key, const char* fallback,
                      char* out, size_t size) {
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(object, key);
  const char* text = cJSON_GetStringValue(value);
  if (!value && fallback) text = fallback;
  if (!text) return us_fail(US_FORMAT, "%s: expected a text \"%s\", found none", name, key);
  if (strstr(text, "\xc0\x80")) {
    return us_fail(US_FORMAT, "%s: expected a text for \"%s\", found one with a NUL", name, key);
  }
  // Nothing is cut: a text that does not fit is refused.
  if (strlen(text) >= size) {
    return us_fail(US_FORMAT, "%s: expected \"%s\" of at most %zu bytes, found %zu", name, key,
                   size - 1, strlen(text));
  }
  memcpy(out, text, strlen(text) + 1);
  return US_OK;
}
