// The thread's last message.

#include "worldmodel/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "worldmodel/base/text.h"

static _Thread_local char message[1024];

UsStatus us_fail(UsStatus status, const char* format, ...) {
  char text[sizeof(message)];  // the arguments may point into the present message
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  us_text_escape(text, message, sizeof(message));  // names from files: one line stays one
  return status;
}

const char* us_message(void) {
  return message;
}

const char* us_status_text(UsStatus status) {
  switch (status) {
#define X(name, text) \
  case US_##name:     \
    return text;
    US_STATUS(X)
#undef X
  }
  return "unknown";
}

void us_assert_failed(const char* file, int line, const char* condition) {
  fprintf(stderr, "understudy: %s:%d: assertion failed: %s\n", file, line, condition);
  abort();
}
