#ifndef UNDERSTUDY_MACHINE_H_
#define UNDERSTUDY_MACHINE_H_

// What this process may use of the machine: processors, memory, room on a disk. Limits of Linux
// control groups count, of both versions, of the process's own group and of those above it.
//
// Threads: safe, but for us_machine_root.

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

// Processors: those of the affinity mask, at most as many as the groups' time (rounded up); at
// least 1.
US_API int us_machine_processors(void);

// Bytes of memory that can still be taken; INFINITY when the system does not say.
US_API double us_machine_memory(void);

// Bytes that can be written to the file system on which `path` lies or is to lie; INFINITY when it
// does not say.
US_API double us_machine_disk(const char* path);

// Checks a need before work begins: US_MEMORY or US_IO with both numbers when there is less. Large
// needs (a quarter of a gigabyte on) are told by us_log. what: who needs it, for the message.
US_API UsStatus us_machine_need_memory(const char* what, double bytes);
US_API UsStatus us_machine_need_disk(const char* path, double bytes);

// For tests: files of /proc and /sys are looked for under this folder. Kept, not copied; NULL: the
// machine's own.
US_API void us_machine_root(const char* root);

US_C_END

#endif  // UNDERSTUDY_MACHINE_H_
