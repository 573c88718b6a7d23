// The picture is a texture on one rectangle; keys wait in a ring until they are asked for.

#include "scripts/view/view_window.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { kKeys = 64 };

struct UsWindow {
  GLFWwindow* window;
  int height, width;
  int keys[kKeys];  // pressed and not yet asked for, a ring
  int first, count;
  double scroll;
  GLuint texture;
};

// ---- events ----

static void on_key(GLFWwindow* window, int key, int code, int action, int mods) {
  UsWindow* w = glfwGetWindowUserPointer(window);
  // Keys wait in the ring until they are asked for.
  if (action == GLFW_RELEASE || w->count == kKeys) return;
  w->keys[(w->first + w->count++) % kKeys] = key;
}

static void on_scroll(GLFWwindow* window, double x, double y) {
  UsWindow* w = glfwGetWindowUserPointer(window);
  w->scroll += y;
}

int us_window_wait(UsWindow* w, double seconds) {
  glfwWaitEventsTimeout(seconds > 1e-4 ? seconds : 1e-4);
  return !glfwWindowShouldClose(w->window);
}

int us_window_key(UsWindow* w) {
  if (w->count == 0) return 0;
  int key = w->keys[w->first];
  w->first = (w->first + 1) % kKeys;
  w->count--;
  return key;
}

int us_window_holds(const UsWindow* w, int key) {
  return glfwGetKey(w->window, key) == GLFW_PRESS;
}

int us_window_pad(const UsWindow* w, UsPad* out) {
  static const float rest = 0.12f;
  GLFWgamepadstate s;
  *out = (UsPad){0};
  if (!glfwJoystickIsGamepad(GLFW_JOYSTICK_1)) return 0;
  if (!glfwGetGamepadState(GLFW_JOYSTICK_1, &s)) return 0;
  const float axis[] = {
      s.axes[GLFW_GAMEPAD_AXIS_LEFT_X],
      -s.axes[GLFW_GAMEPAD_AXIS_LEFT_Y],
      s.axes[GLFW_GAMEPAD_AXIS_RIGHT_X],
      -s.axes[GLFW_GAMEPAD_AXIS_RIGHT_Y],
      (s.axes[GLFW_GAMEPAD_AXIS_RIGHT_TRIGGER] - s.axes[GLFW_GAMEPAD_AXIS_LEFT_TRIGGER]) / 2,
      (float)(s.buttons[GLFW_GAMEPAD_BUTTON_RIGHT_BUMPER] -
              s.buttons[GLFW_GAMEPAD_BUTTON_LEFT_BUMPER])};
  // Sticks do not come back to 0 exactly.
  for (int i = 0; i < 6; i++) out->axis[i] = fabsf(axis[i]) < rest ? 0 : axis[i];
  out->a = s.buttons[GLFW_GAMEPAD_BUTTON_A];
  out->b = s.buttons[GLFW_GAMEPAD_BUTTON_B];
  return 1;
}

// Where a picture stands in a place of other proportions: as large as it fits, in the middle.
typedef struct Fit {
  double scale, x, y;
} Fit;

static Fit fit(const UsWindow* w, int height, int width) {
  double scale = fmin((double)width / w->width, (double)height / w->height);
  if (scale <= 0) scale = 1;
  return (Fit){scale, (width - scale * w->width) / 2, (height - scale * w->height) / 2};
}

UsMouse us_window_mouse(UsWindow* w) {
  int height, width;
  double x, y;
  glfwGetWindowSize(w->window, &width, &height);
  glfwGetCursorPos(w->window, &x, &y);
  // Window to picture.
  Fit f = fit(w, height, width);
  UsMouse m = {.x = (x - f.x) / f.scale,
               .y = (y - f.y) / f.scale,
               .scroll = w->scroll,
               .left = glfwGetMouseButton(w->window, GLFW_MOUSE_BUTTON_LEFT),
               .right = glfwGetMouseButton(w->window, GLFW_MOUSE_BUTTON_RIGHT),
               .middle = glfwGetMouseButton(w->window, GLFW_MOUSE_BUTTON_MIDDLE)};
  m.shift = us_window_holds(w, GLFW_KEY_LEFT_SHIFT) || us_window_holds(w, GLFW_KEY_RIGHT_SHIFT);
  w->scroll = 0;
  return m;
}

// ---- pictures ----

void us_window_show(UsWindow* w, const uint8_t* pixels) {
  static const float corner[4][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 1}};
  int height, width;
  glfwGetFramebufferSize(w->window, &width, &height);
  glfwMakeContextCurrent(w->window);
  glClear(GL_COLOR_BUFFER_BIT);
  Fit f = fit(w, height, width);
  glViewport((int)f.x, (int)f.y, (int)lround(f.scale * w->width), (int)lround(f.scale * w->height));
  // The picture is the texture of one rectangle that fills the viewport.
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGB, w->width, w->height, 0, GL_RGB, GL_UNSIGNED_BYTE, pixels);
  glBegin(GL_QUADS);
  for (int i = 0; i < 4; i++) {
    glTexCoord2f(corner[i][0], corner[i][1]);
    glVertex2f(2 * corner[i][0] - 1, 1 - 2 * corner[i][1]);
  }
  glEnd();
  glfwSwapBuffers(w->window);
  glfwMakeContextCurrent(NULL);
}

// ---- open and close ----

UsStatus us_window_open(const char* title, int height, int width, UsWindow** out) {
  *out = NULL;
  setenv("LP_NUM_THREADS", "0", 0);  // as env/gl.h does
  UsWindow* w = calloc(1, sizeof(*w));
  if (!w) return us_fail(US_MEMORY, "out of memory for a window");
  w->height = height;
  w->width = width;
  if (glfwInit()) w->window = glfwCreateWindow(width, height, title, NULL, NULL);
  if (!w->window) {
    // GLFW says what is missing.
    const char* found = NULL;
    glfwGetError(&found);
    UsStatus status =
        us_fail(US_GL, "no display (%s): set DISPLAY, or --record FILE for a film without a window",
                found ? found : "no reason given");
    us_window_close(w);
    return status;
  }
  glfwSetWindowUserPointer(w->window, w);
  glfwSetKeyCallback(w->window, on_key);
  glfwSetScrollCallback(w->window, on_scroll);

  // Pictures are a texture on one rectangle; what of it is fixed is said here.
  glfwMakeContextCurrent(w->window);
  glfwSwapInterval(1);
  glGenTextures(1, &w->texture);
  glBindTexture(GL_TEXTURE_2D, w->texture);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
  glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
  glEnable(GL_TEXTURE_2D);
  glfwMakeContextCurrent(NULL);
  *out = w;
  return US_OK;
}

void us_window_close(UsWindow* w) {
  if (!w) return;
  if (w->window) glfwDestroyWindow(w->window);
  glfwTerminate();
  free(w);
}
