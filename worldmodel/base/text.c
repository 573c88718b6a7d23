// UTF-8, and texts of others made safe to print.

#include "worldmodel/base/text.h"

#include <stdio.h>
#include <string.h>

enum { kShown = 8, kRoom = 512 };  // buffers of us_shown, bytes of each

size_t us_utf8(const char* text, size_t left, unsigned* code) {
  const unsigned char* s = (const unsigned char*)text;
  // The first byte says how many there are; c0, c1 and f5 on begin nothing.
  unsigned c = s[0];
  size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
  if (n == 0 || n > left) return 0;
  if (n > 1) c &= 0x7fu >> n;
  // Six bits of each further byte.
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    c = c << 6 | (s[i] & 0x3f);
  }
  // Longer than needed, beyond Unicode or half a pair: not a character.
  static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
  if (code) *code = c;
  return n;
}

// 1 for characters that a terminal obeys instead of showing them.
static int steers(unsigned c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

// Gives the bytes of text that were taken.
static size_t escape(const char* text, size_t length, char* out, size_t size) {
  size_t at = 0, used;
  char piece[8];
  *out = 0;
  for (size_t i = 0; i < length; i += used) {
    // The next character as it is shown.
    unsigned c = 0;
    used = us_utf8(text + i, length - i, &c);
    if (used == 0) {
      used = 1;
      snprintf(piece, sizeof(piece), "\\x%02x", (unsigned char)text[i]);
    } else if (c == '\n' || c == '\t' || c == '\r') {
      snprintf(piece, sizeof(piece), "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    } else if (steers(c)) {
      snprintf(piece, sizeof(piece), "\\u%04x", c & 0xffff);
    } else {
      memcpy(piece, text + i, used);
      piece[used] = 0;
    }
    // A piece is taken whole or not at all.
    size_t n = strlen(piece);
    if (at + n >= size) return i;
    memcpy(out + at, piece, n + 1);
    at += n;
  }
  return length;
}

const char* us_text_escape(const char* text, char* out, size_t size) {
  escape(text, strlen(text), out, size);
  return out;
}

const char* us_shown(const char* text) {
  // Buffers take turns, so that one message may show several texts.
  static _Thread_local char buffer[kShown][kRoom];
  static _Thread_local unsigned next;
  char* out = buffer[next++ % kShown];
  if (!text) text = "?";
  size_t length = strlen(text);
  if (escape(text, length, out, kRoom - 3) < length) strcat(out, "...");
  return out;
}

int us_name_fits(const char* name) {
  return name[0] &&
         !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")];
}
