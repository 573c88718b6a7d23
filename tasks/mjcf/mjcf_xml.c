// What is read off the text of an MJCF file itself, as MuJoCo keeps no order of its elements.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/mjcf/mjcf_file.h"

enum { DEEP = 16, PATH = 4096 };  // DEEP: files that include each other
static const size_t most_bytes = (size_t)64 << 20;

// Where an XML text is read, tag by tag.
typedef struct Reader {
  const char* at;
  int line;
} Reader;

// The next tag that is an element's beginning or end: its text behind the <; NULL: there is none.
static const char* next_tag(Reader* r) {
  for (; *r->at; r->at++) {
    r->line += *r->at == '\n';
    if (*r->at != '<') continue;
    if (strncmp(r->at, "<!--", 4) == 0) {
      const char* end = strstr(r->at, "-->");
      for (; *r->at && r->at != end; r->at++) r->line += *r->at == '\n';
      if (!*r->at) return NULL;
    } else if (r->at[1] != '?' && r->at[1] != '!') {
      return ++r->at;
    }
  }
  return NULL;
}

// Whether a tag is an element of this name.
static int is_tag(const char* tag, const char* name) {
  size_t n = strlen(name);
  return strncmp(tag, name, n) == 0 && (isspace((unsigned char)tag[n]) || strchr("/>", tag[n]));
}

// Copies the value of a tag's attribute to out (size); "" where it has none.
static void attribute(const char* tag, const char* name, char* out, size_t size) {
  size_t n = strlen(name);
  char quote = 0;
  out[0] = 0;
  for (const char* c = tag; *c && (quote || *c != '>'); c++) {
    if (quote) {
      if (*c == quote) quote = 0;
      continue;
    }
    if (isspace((unsigned char)c[0]) && strncmp(c + 1, name, n) == 0) {
      const char* v = c + 1 + n;
      v += strspn(v, " \t\r\n");
      if (*v == '=') v += 1 + strspn(v + 1, " \t\r\n");
      const char* end = *v == '"' || *v == '\'' ? strchr(v + 1, *v) : NULL;
      if (end) snprintf(out, size, "%.*s", (int)(end - v - 1), v + 1);
      if (end) return;
    }
    if (*c == '"' || *c == '\'') quote = *c;
  }
}

void us_xml_root(const char* text, char* name) {
  Reader r = {text, 1};
  const char* tag = next_tag(&r);
  size_t n = tag ? strcspn(tag, " \t\r\n/>") : 0;
  snprintf(name, 64, "%.*s", (int)n, tag ? tag : "");
}

// A file that another names, relative to that or to the first.
static int first_in(const char* path, const char* top, char* name, int deep);

static int first_included(const char* tag, const char* path, const char* top, char* name,
                          int deep) {
  char file[1024], full[PATH];
  attribute(tag, "file", file, sizeof(file));
  if (deep >= DEEP || !file[0]) return 0;
  for (int i = 0; i < 2; i++) {
    const char *beside = i ? top : path, *slash = strrchr(beside, '/');
    int n = file[0] == '/' || !slash ? 0 : (int)(slash - beside) + 1;
    snprintf(full, sizeof(full), "%.*s%s", n, beside, file);
    if (us_file_exists(full)) return first_in(full, top, name, deep + 1);
  }
  return 0;
}

static int first_in(const char* path, const char* top, char* name, int deep) {
  void* data;
  size_t size;
  if (us_file_read(path, most_bytes, &data, &size) != US_OK) return 0;
  Reader r = {data, 1};  // a zero byte follows
  int found = 0, defaults = 0;
  for (const char* tag; !found && (tag = next_tag(&r));) {
    if (is_tag(tag, "default")) {
      // An element that is empty has no inside.
      const char* end = strchr(tag, '>');
      defaults += end && end[-1] != '/';
    } else if (is_tag(tag, "/default")) {
      defaults--;
    } else if (is_tag(tag, "include")) {
      found = first_included(tag, path, top, name, deep);
    } else if (is_tag(tag, "camera") && defaults == 0) {
      attribute(tag, "name", name, 64);
      found = r.line;
    }
  }
  free(data);
  return found;
}

int us_xml_first_camera(const char* path, char* name) {
  name[0] = 0;
  return first_in(path, path, name, 0);
}
