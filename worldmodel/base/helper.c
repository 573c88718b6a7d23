#define _GNU_SOURCE
#include "worldmodel/base/helper.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef US_HELPERS_FROM_LIB  // where helpers are installed, from where the library is
#define US_HELPERS_FROM_LIB "."
#endif

UsStatus us_helper_find(const char* name, const char* path, char helper[US_HELPER_CHARS]) {
  static const char* const places[] = {US_HELPERS_FROM_LIB, ".", ".."};
  char variable[64];
  snprintf(variable, sizeof(variable), "UNDERSTUDY_%s", name);
  for (char* c = variable; *c; c++) *c = (char)toupper((unsigned char)*c);
  const char* asked = getenv(variable);
  // The library's own folder, as the system found it.
  Dl_info library;
  int known = dladdr((void*)(uintptr_t)us_helper_find, &library) != 0;
  const char* slash = known ? strrchr(library.dli_fname, '/') : NULL;
  for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
    snprintf(helper, US_HELPER_CHARS, "%.*s%s/understudy-%s",
             slash ? (int)(slash - library.dli_fname) + 1 : 0, slash ? library.dli_fname : "",
             places[i], name);
    if (asked) snprintf(helper, US_HELPER_CHARS, "%s", asked);
    if (access(helper, X_OK) == 0) return US_OK;
  }
  return us_fail(US_IO,
                 "%s: cannot be looked at safely: expected the helper understudy-%s where the "
                 "library was installed or where %s says, found none",
                 path, name, variable);
}
