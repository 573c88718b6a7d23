#ifndef UNDERSTUDY_TERMINAL_H_
#define UNDERSTUDY_TERMINAL_H_

// What the program does with the library's hooks: a bar with rate and time left on stderr, a line a
// minute where stderr is not a terminal; lines for people on stderr; Ctrl-C as the wish to stop.

#include "worldmodel/base/progress.h"

// Sets the calling thread's hooks and installs handlers for SIGINT and SIGTERM: the first sets a
// flag that long work asks for and saves on, the second signal ends the program at once. A file
// that grows past its limit then is an error of the write and no longer a signal.
void us_terminal_install(void);

// Ends the line of a bar that a failure left open, so that a message begins a line of its own.
void us_terminal_break(void);

// The hook: at most every 0.1 s in a terminal, every 60 s in a log. That of a loop of less than
// half a second is taken back at its end.
void us_terminal_progress(void* data, UsProgress* p);

#endif  // UNDERSTUDY_TERMINAL_H_
