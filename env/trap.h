#ifndef UNDERSTUDY_TRAP_H_
#define UNDERSTUDY_TRAP_H_

// MuJoCo's errors as values.
//
// MuJoCo reports through a global handler, whose default prints, writes a log file into the working
// folder and ends the process. Ours keeps warnings quiet (they are counted in mjData), and an error
// inside us_trap_run comes back as its text. An error outside of it still ends the process, after
// the caller's hook for lines (progress.h) was told.
//
// Threads: safe; a trap belongs to the thread that runs it.

// Installs the handler; further calls do nothing.
#include "worldmodel/base/api.h"

US_C_BEGIN

US_API void us_trap_install(void);

// Runs f(arg). 0 when it returns; 1 when MuJoCo raised an error, whose first line is then in
// message (size bytes). f is left by longjmp in that case, so it must not hold locks or memory.
US_API int us_trap_run(void (*f)(void* arg), void* arg, char* message, int size);

// Copies text to out (size bytes) as one line without blanks at its ends. out may be text.
US_API void us_trap_line(char* out, int size, const char* text);

US_C_END

#endif  // UNDERSTUDY_TRAP_H_
