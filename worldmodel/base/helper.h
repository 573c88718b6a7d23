#ifndef UNDERSTUDY_HELPER_H_
#define UNDERSTUDY_HELPER_H_

// The small programs that the library starts to look at files that may do harm: where they lie.
//
// Threads: safe.

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_HELPER_CHARS = 4096 };

// Finds the helper understudy-<name>: where the variable UNDERSTUDY_<NAME> of the environment says,
// or by the library's own place as it is installed or built. `path` is what the helper is for, for
// the message.
US_API UsStatus us_helper_find(const char* name, const char* path, char helper[US_HELPER_CHARS]);

US_C_END

#endif  // UNDERSTUDY_HELPER_H_
