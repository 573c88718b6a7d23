// What renders: words, the names of renderers, and that a choice is never answered by another.

#include "env/gl.h"

#include "tests/env/env_help.h"

static void test_words(void** state) {
  static const char* const good[] = {NULL, "software", "gpu", "gpu:0", "gpu:17", "gpu:007"};
  static const char* const bad[] = {
      "",       "hardware", "GPU",    "gpu:",      "gpu:x", "gpu:-1",
      "gpu:1x", "gpu: 1",   "gpu:+1", "gpu:99999", "gpu0",  "software:0"};
  for (int i = 0; i < US_COUNT(good); i++) assert_int_equal(us_gl_check(good[i]), US_OK);
  for (int i = 0; i < US_COUNT(bad); i++) {
    UsGl g;
    UsEnv* e;
    assert_int_equal(us_gl_check(bad[i]), US_USAGE);
    assert_one_line(us_message());
    assert_int_equal(us_gl_open("here", bad[i], &g), US_USAGE);
    // A simulator says it where it is opened, also when nothing is rendered yet.
    assert_int_equal(us_env_open("sim:wall", us_tasks, &(UsEnvConfig){.gl = bad[i]}, &e), US_USAGE);
    assert_null(e);
  }
}

static void test_names(void** state) {
  static const char* const mesa = "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 Mesa 22.3.6";
  static const char* const newer = "llvmpipe (LLVM 19.1.7, 512 bits), 4.5 Mesa 25.0.7";
  static const char* const card = "NVIDIA H200/PCIe/SSE2, 4.6.0 NVIDIA 570.1";
  char name[64];
  us_gl_name(mesa, name, sizeof(name));
  assert_string_equal(name, "llvmpipe");
  us_gl_name(card, name, sizeof(name));
  assert_string_equal(name, "NVIDIA H200/PCIe/SSE2");
  us_gl_name("soft; from episode 3: hard", name, sizeof(name));
  assert_string_equal(name, "soft");
  us_gl_name("", name, sizeof(name));
  assert_string_equal(name, "");
  assert_true(us_gl_same(mesa, newer));
  assert_true(us_gl_same(card, "NVIDIA H200/PCIe/SSE2, 4.6.0 NVIDIA 580.2"));
  assert_false(us_gl_same(mesa, card));
  assert_false(us_gl_same("NVIDIA H20, 4.6", card));
}

static void test_software(void** state) {
  static const char* const words[] = {NULL, "software"};
  for (int i = 0; i < US_COUNT(words); i++) {
    UsGl g;
    char text[256], name[64];
    assert_int_equal(us_gl_renderer("here", words[i], text, sizeof(text)), US_OK);
    us_gl_name(text, name, sizeof(name));
    assert_true(!strcmp(name, "llvmpipe") || !strcmp(name, "softpipe"));
    assert_int_equal(us_gl_open("here", words[i], &g), US_OK);
    assert_true(us_gl_enter(&g));
    us_gl_leave(&g);
    us_gl_close(&g);
    assert_null(g.context);
  }
  char list[1024];
  us_gl_list(list, sizeof(list));
  assert_non_null(strstr(list, "software"));
  us_gl_list(list, 6);  // cut, not overrun
  assert_int_equal(strlen(list), 5);
}

// No machine has a thousand GPUs; one without any has no first one either.
static void test_missing(void** state) {
  char list[1024];
  UsGl g;
  UsEnv* e;
  us_gl_list(list, sizeof(list));
  assert_int_equal(us_gl_open("here", "gpu:1000", &g), US_GL);
  assert_null(g.context);
  assert_one_line(us_message());
  assert_non_null(strstr(us_message(), "here: --gl gpu:1000"));
  assert_non_null(strstr(us_message(), list));
  if (strstr(list, "gpu:")) return;
  const UsEnvConfig config = {.pixels = 1, .gl = "gpu"};
  assert_int_equal(us_env_open("sim:wall", us_tasks, &config, &e), US_GL);
  assert_null(e);
  assert_one_line(us_message());
  assert_non_null(strstr(us_message(), "sim:wall: --gl gpu:"));
}

// The choice is copied: the caller's text need not live until the first frame.
static void test_copied(void** state) {
  char word[16] = "software";
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.gl = word, .height = 16});
  strcpy(word, "gpu:1000");
  uint8_t pixels[16 * 16 * 3];
  assert_int_equal(us_env_render(e, 1, (int[]){0}, pixels), US_OK);
  us_env_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_words),    cmocka_unit_test(test_names),
      cmocka_unit_test(test_software), cmocka_unit_test(test_missing),
      cmocka_unit_test(test_copied),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
