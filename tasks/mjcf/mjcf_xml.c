// What is read off the text of an MJCF file itself, as MuJoCo keeps no order of its elements, and
// the text with what it includes taken in.

#define _GNU_SOURCE  // open_memstream

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

// ---- files that others include ----

// Where an included file may lie, as MuJoCo looks for it: beside the first file of all (i 0), or
// beside the one that names it (i 1).
static void place_of(const char* file, const char* path, const char* top, int i, char* out) {
  const char *beside = i ? path : top, *slash = strrchr(beside, '/');
  int n = file[0] == '/' || !slash ? 0 : (int)(slash - beside) + 1;
  snprintf(out, PATH, "%.*s%s", n, beside, file);
}

static int first_in(const char* path, const char* top, char* name, int deep);

static int first_included(const char* tag, const char* path, const char* top, char* name,
                          int deep) {
  char file[1024], full[PATH];
  attribute(tag, "file", file, sizeof(file));
  if (deep >= DEEP || !file[0]) return 0;
  for (int i = 0; i < 2; i++) {
    place_of(file, path, top, i, full);
    if (us_file_exists(full)) return first_in(full, top, name, deep + 1);
  }
  return 0;
}

// Nullable: path, of a text that includes nothing.
static int first_in_text(const char* text, const char* path, const char* top, char* name,
                         int deep) {
  Reader r = {text, 1};
  int found = 0, defaults = 0;
  for (const char* tag; !found && (tag = next_tag(&r));) {
    if (is_tag(tag, "default")) {
      // An element that is empty has no inside.
      const char* end = strchr(tag, '>');
      defaults += end && end[-1] != '/';
    } else if (is_tag(tag, "/default")) {
      defaults--;
    } else if (is_tag(tag, "include") && path) {
      found = first_included(tag, path, top, name, deep);
    } else if (is_tag(tag, "camera") && defaults == 0) {
      attribute(tag, "name", name, 64);
      found = r.line;
    }
  }
  return found;
}

static int first_in(const char* path, const char* top, char* name, int deep) {
  void* data;
  size_t size;
  if (us_file_read(path, most_bytes, &data, &size) != US_OK) return 0;
  int found = first_in_text(data, path, top, name, deep);  // a zero byte follows
  free(data);
  return found;
}

int us_xml_first_camera(const char* path, char* name) {
  name[0] = 0;
  return first_in(path, path, name, 0);
}

int us_xml_first_camera_in(const char* text, char* name) {
  name[0] = 0;
  return first_in_text(text, NULL, NULL, name, 0);
}

// ---- taking in what is included ----

typedef struct Expand {
  FILE* out;
  const char* top;
  UsXmlFind* find;
  void* arg;
} Expand;

// Behind the > of a tag; NULL: it has none.
static const char* tag_end(const char* tag) {
  char quote = 0;
  for (; *tag && (quote || *tag != '>'); tag++) {
    if (quote ? *tag == quote : *tag == '"' || *tag == '\'') quote = quote ? 0 : *tag;
  }
  return *tag ? tag + 1 : NULL;
}

// What stands between the first tag of a file and its last, as a copy to be freed.
static char* inside(const char* text) {
  Reader r = {text, 1};
  const char *tag = next_tag(&r), *from = tag ? tag_end(tag) : NULL, *last = NULL;
  if (!from || from[-2] == '/') return strdup("");
  while ((tag = next_tag(&r))) {
    if (*tag == '/') last = tag - 1;
  }
  return strndup(from, last ? (size_t)(last - from) : 0);
}

// Copies a text and, in the place of each include that is found, what its file holds.
static int expand(const Expand* e, const char* text, const char* path, int deep) {
  Reader r = {text, 1};
  const char* done = text;
  for (const char* tag; (tag = next_tag(&r));) {
    char file[1024], full[PATH];
    const char *end = tag_end(tag), *data = NULL;
    if (!is_tag(tag, "include") || !end || deep >= DEEP) continue;
    attribute(tag, "file", file, sizeof(file));
    for (int i = 0; i < 2 && !data; i++) {
      place_of(file, path, e->top, i, full);
      data = e->find(e->arg, full);
    }
    if (!data) continue;
    char* inner = inside(data);
    if (!inner) return 0;
    fwrite(done, 1, (size_t)(tag - 1 - done), e->out);
    int good = expand(e, inner, full, deep + 1);
    free(inner);
    if (!good) return 0;
    // It may have an end of its own.
    if (end[-2] != '/') {
      const char* close = strstr(end, "</include");
      close = close ? tag_end(close) : NULL;
      if (close) end = close;
    }
    done = r.at = end;
  }
  fputs(done, e->out);
  return 1;
}

char* us_xml_expand(const char* path, UsXmlFind* find, void* arg) {
  char* out = NULL;
  size_t size;
  const char* text = find(arg, path);
  FILE* f = text ? open_memstream(&out, &size) : NULL;
  if (!f) return NULL;
  Expand e = {f, path, find, arg};
  int good = expand(&e, text, path, 0);
  good &= fclose(f) == 0;
  if (good) return out;
  free(out);
  return NULL;
}

// Whether the value of some attribute begins with a slash.
int us_xml_names_root(const char* text) {
  Reader r = {text, 1};
  for (const char* tag; (tag = next_tag(&r));) {
    const char* end = tag_end(tag);
    for (const char* c = tag; end && c + 2 < end; c++) {
      if (c[0] != '=') continue;
      const char* v = c + 1 + strspn(c + 1, " \t\r\n");
      if ((*v == '"' || *v == '\'') && v[1] == '/') return 1;
    }
  }
  return 0;
}
