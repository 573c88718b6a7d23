#ifndef UNDERSTUDY_STATUS_H_
#define UNDERSTUDY_STATUS_H_

// Status codes and the message of the last failure.
//
// Three kinds of errors have three answers. The outside world (a missing file, a bad checkpoint): a
// status and a one-line message that names the file, what was expected and what was found. The
// programmer (a wrong shape, NULL): US_ASSERT, which stays on in release builds. The numbers (NaN,
// divergence): a value that the function documents.
//
// Threads: the message belongs to the calling thread. A pool item that fails hands its message on
// through its own result.

#include "worldmodel/base/api.h"

US_C_BEGIN

#define US_STATUS(X)                                                     \
  X(OK, "ok")                                                            \
  X(USAGE, "wrong use of the command line or of a name")                 \
  X(IO, "a file cannot be read or written")                              \
  X(FORMAT, "a file does not hold what it should")                       \
  X(MEMORY, "out of memory")                                             \
  X(GL, "no OpenGL for rendering")                                       \
  X(MUJOCO, "MuJoCo refused a model or a call")                          \
  X(INTERRUPTED, "stopped by a signal; what was written stays readable") \
  X(UNSUPPORTED, "this kind of object cannot do that")                   \
  X(DIVERGED, "training reached numbers that are not finite")            \
  X(DEVICE, "the device that computes failed, or is not there")

typedef enum UsStatus {
#define X(name, text) US_##name,
  US_STATUS(X)
#undef X
} UsStatus;

// Records a message for this thread and returns `status`, so that a function can end with
// `return us_fail(US_IO, "%s: ...", path)`.
US_API UsStatus us_fail(UsStatus status, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

// The message of this thread's last us_fail; "" when there was none. Valid until the next us_fail.
US_API const char* us_message(void);

// The text of a status code, "unknown" outside the list.
US_API const char* us_status_text(UsStatus status);

// Ends the program with file, line and condition: for errors of the caller, in every build.
#define US_ASSERT(condition) \
  ((condition) ? (void)0 : us_assert_failed(__FILE__, __LINE__, #condition))
US_API void us_assert_failed(const char* file, int line, const char* condition)
    __attribute__((noreturn));

// Returns from the calling function with the status of `call` unless it is US_OK.
#define US_TRY(call)                      \
  do {                                    \
    UsStatus us_try_ = (call);            \
    if (us_try_ != US_OK) return us_try_; \
  } while (0)

US_C_END

#endif  // UNDERSTUDY_STATUS_H_
