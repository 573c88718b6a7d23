#ifndef UNDERSTUDY_VIEW_KEYS_H_
#define UNDERSTUDY_VIEW_KEYS_H_

// The keys of the viewer: its window, --help and the help in the window are made from these lists.

// name of the handler, GLFW's name of the key, label, what it does
#define US_VIEW_KEYS(X)                                                                           \
  X(pause, SPACE, "Space", "pause, go on")                                                        \
  X(single, N, "N", "one env step")                                                               \
  X(faster, EQUAL, "+", "twice as fast")                                                          \
  X(slower, MINUS, "-", "half as fast")                                                           \
  X(reset, R, "R", "a new episode")                                                               \
  X(mode, M, "M", "next of drive, policy, plan, replay")                                          \
  X(policy, P, "P", "next policy of the task")                                                    \
  X(resync, I, "I", "show the model the truth; it imagines on from there")                        \
  X(follow, O, "O", "the model observes every block, or imagines open loop")                      \
  X(keep, ENTER, "Enter", "--collect: keep this episode, begin the next")                         \
  X(undo, BACKSPACE, "Backspace", "--collect: drop this episode, before its first step the last") \
  X(camera, C, "C", "the task's camera, or a free one")                                           \
  X(shot, V, "V", "screenshot (PNG)")                                                             \
  X(less_axes, LEFT_BRACKET, "[", "the moving keys act on two numbers lower")                     \
  X(more_axes, RIGHT_BRACKET, "]", "the moving keys act on two numbers higher")                   \
  X(help, H, "H", "this list")                                                                    \
  X(quit, ESCAPE, "Esc", "close")

// Keys that move the robot in drive mode while they are held, at a third with Shift: number of the
// action, key for less and for more, a second pair, label
#define US_VIEW_AXES(X)                      \
  X(0, LEFT, RIGHT, A, D, "Left Right, A D") \
  X(1, DOWN, UP, S, W, "Down Up, S W")       \
  X(2, Q, E, Q, E, "Q E")                    \
  X(3, Z, X, Z, X, "Z X")                    \
  X(4, F, T, F, T, "F T")                    \
  X(5, K, U, K, U, "K U")

// label, what it does
#define US_VIEW_MOUSE(X)                                                             \
  X("Gamepad", "sticks, triggers, shoulders move; A as Enter, B as Backspace")       \
  X("Left drag", "move: as far as it was dragged; where env steps are long, a push") \
  X("Right drag", "turn the free camera, with Shift from the side")                  \
  X("Middle drag", "shift the free camera")                                          \
  X("Wheel", "zoom the free camera")

#endif  // UNDERSTUDY_VIEW_KEYS_H_
