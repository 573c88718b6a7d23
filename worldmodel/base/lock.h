#ifndef UNDERSTUDY_LOCK_H_
#define UNDERSTUDY_LOCK_H_

// One owner per output: whoever writes a file or a folder holds its lock until it is done, and
// others are told who that is.
//
// The lock of NAME is a file NAME.lock beside it (NAME/.lock where only the folder itself can be
// written) that is held by flock and says who holds it. The system lets go of it when the process
// ends in whatever way, so a file that a kill left locks nothing. Where the file system has no
// locks, the file itself is the lock: it is made with O_EXCL, and one whose process is gone from
// this host is stale. A symbolic link and what it points to are locked together.
//
// Threads: any; a lock may be released by another thread than took it. A child of fork holds none
// of its parent's locks.

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef struct UsLock UsLock;

typedef struct UsLockHolder {
  long pid;  // 0: it does not say
  char host[128];
  char since[32];  // local time
} UsLockHolder;

// Takes the lock of the output `path`, whose folder must exist. Held by anyone, also by this
// process: US_IO, "r.h5: being written by pid P on HOST since ...". On failure *out is NULL.
US_API UsStatus us_lock_take(const char* path, UsLock** out);

// As us_lock_take, but shares a lock that this process has: for a part of a longer piece of work.
US_API UsStatus us_lock_join(const char* path, UsLock** out);

// As us_lock_take, but waits for the holder, which one line of us_log names; a caller who wants to
// stop gets US_INTERRUPTED.
US_API UsStatus us_lock_wait(const char* path, UsLock** out);

// Lets go, for a joined lock with the last of them, and removes the lock file. NULL is fine.
US_API void us_lock_release(UsLock* l);

// 1 when somebody is writing `path`. Takes nothing and changes nothing. Nullable: holder.
US_API int us_lock_holder(const char* path, UsLockHolder* holder);

// US_OK when nobody is writing `path`, else the failure of us_lock_take.
US_API UsStatus us_lock_check(const char* path);

// The system's flock; a test puts one that fails in its place.
extern int (*us_lock_flock)(int fd, int operation);

US_C_END

#endif  // UNDERSTUDY_LOCK_H_
