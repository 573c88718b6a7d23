#ifndef UNDERSTUDY_VIEW_WINDOW_H_
#define UNDERSTUDY_VIEW_WINDOW_H_

// A window that shows a picture and hears keys and mouse, through GLFW and OpenGL 1.1.
//
// The window's OpenGL context is current only inside us_window_show. Threads: the main thread.

#include <GLFW/glfw3.h>
#include <stdint.h>

#include "worldmodel/base/status.h"

typedef struct UsWindow UsWindow;

// Lengths are pixels of the picture, y down.
typedef struct UsMouse {
  double x, y;
  double scroll;  // notches since the last call
  int left, right, middle, shift;
} UsMouse;

// A window for pictures of width x height. US_GL without a display. On failure *out
// is NULL.
UsStatus us_window_open(const char* title, int height, int width, UsWindow** out);

// NULL is fine.
void us_window_close(UsWindow* w);

// Sleeps until something happens, at most `seconds`; 0 once the user has closed the window.
int us_window_wait(UsWindow* w, double seconds);

// The next key that was pressed, one of GLFW_KEY_*; 0: none.
int us_window_key(UsWindow* w);

// 1 while a key is down.
int us_window_holds(const UsWindow* w, int key);

// The first gamepad: numbers of the sticks (left, right: x, y up), of the triggers and of the
// shoulders (right less left), each in [-1, 1], 0 near its rest. Returns 0 where there is none.
typedef struct UsPad {
  float axis[6];
  int a, b;
} UsPad;
int us_window_pad(const UsWindow* w, UsPad* out);

UsMouse us_window_mouse(UsWindow* w);

// Shows pixels (height, width, 3), as large as the window allows.
void us_window_show(UsWindow* w, const uint8_t* pixels);

#endif  // UNDERSTUDY_VIEW_WINDOW_H_
