#ifndef UNDERSTUDY_HELPER_H_
#define UNDERSTUDY_HELPER_H_

// The small programs that the library starts to look at files that may do harm: where they lie, and
// how they start.
//
// Threads: safe.

#include <sys/types.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_HELPER_CHARS = 4096 };

// Finds the helper understudy-<name>: where the variable UNDERSTUDY_<NAME> of the environment says,
// or by the library's own place as it is installed or built. `path` is what the helper is for, for
// the message.
US_API UsStatus us_helper_find(const char* name, const char* path, char helper[US_HELPER_CHARS]);

// Starts a helper: words[0] is its path, behind the last word stands NULL. Its output is `out`, -1:
// none; it has no input. Of Ctrl-C, which goes to all processes of a terminal, it hears nothing:
// this process hears it. Nothing of this process is copied: it may be large, and other threads may
// hold its locks. Returns an errno, 0: *child is the caller's to wait for.
US_API int us_helper_start(char* const* words, int out, pid_t* child);

US_C_END

#endif  // UNDERSTUDY_HELPER_H_
