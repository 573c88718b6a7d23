#include "worldmodel/base/helper.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worldmodel/base/file.h"

#ifndef US_HELPERS_FROM_LIB  // where helpers are installed, from where the library is
#define US_HELPERS_FROM_LIB "."
#endif

UsStatus us_helper_find(const char* name, const char* path, char helper[US_HELPER_CHARS]) {
  char variable[64], places[3][96];
  const char* tried[] = {places[0], places[1], places[2]};
  static const char* const folders[] = {US_HELPERS_FROM_LIB, ".", ".."};
  for (int i = 0; i < 3; i++) {
    snprintf(places[i], sizeof(places[i]), "%s/understudy-%s", folders[i], name);
  }
  snprintf(variable, sizeof(variable), "UNDERSTUDY_%s", name);
  for (char* c = variable; *c; c++) *c = (char)toupper((unsigned char)*c);
  if (us_file_beside(getenv(variable), 3, tried, X_OK, helper, US_HELPER_CHARS)) return US_OK;
  return us_fail(US_IO,
                 "%s: cannot be looked at safely: expected the helper understudy-%s where the "
                 "library was installed or where %s says, found none",
                 path, name, variable);
}
