#define _GNU_SOURCE
#include "worldmodel/base/helper.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
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

int us_helper_start(char* const* words, int out, pid_t* child) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGHUP);
  // Attributes and files of the child.
  posix_spawnattr_t how;
  posix_spawn_file_actions_t files;
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&how, &blocked);
  for (int fd = 0; fd < 3; fd++) {
    if (fd == STDOUT_FILENO && out >= 0) {
      posix_spawn_file_actions_adddup2(&files, out, fd);
    } else {
      posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    }
  }
  int error = posix_spawn(child, words[0], &files, &how, words, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&how);
  return error;
}
