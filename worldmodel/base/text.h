#ifndef UNDERSTUDY_TEXT_H_
#define UNDERSTUDY_TEXT_H_

// Text from files and from outside: UTF-8, and how to show it.
//
// Threads: safe; what us_shown gives belongs to the calling thread.

#include <stddef.h>

#include "worldmodel/base/api.h"

US_C_BEGIN

// Bytes of the character at `text` with `left` bytes to go, 1 .. 4; 0 where it is not UTF-8 (RFC
// 3629: no overlong forms, no surrogates, nothing above U+10FFFF). left > 0. Nullable: code, the
// code point.
US_API size_t us_utf8(const char* text, size_t left, unsigned* code);

// 1: a name of letters, digits, - and _, at least one, which may become part of a file's.
US_API int us_name_fits(const char* name);

// The text as one line that is safe to print: what would steer a terminal (control characters, C1
// ones too, and marks that turn the direction of writing) becomes an escape such as \n or \u001b,
// and a byte that is not UTF-8 \x9b. What was escaped stays as it is. At most size - 1 bytes; a
// text that is too long ends early. Gives out.
US_API const char* us_text_escape(const char* text, char* out, size_t size);

// The same in one of 8 buffers of the thread, for the arguments of a printf; a text that is too
// long ends in "...". NULL is shown as "?".
US_API const char* us_shown(const char* text);

US_C_END

#endif  // UNDERSTUDY_TEXT_H_
