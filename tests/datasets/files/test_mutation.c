// Files with bytes flipped at random, anywhere: verifying them never crashes and never hangs,
// whatever the verdict.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "datasets/exchange.h"
#include "tests/datasets/foreign_file.h"
#include "tests/datasets/toy_dataset.h"
#include "worldmodel/base/rng.h"

enum { kRounds = 250, kSeconds = 20 };

// One file with 1 to 8 bytes changed: to another number, to 0, to 255, or by one bit.
static void mutate(uint8_t* bytes, size_t size, UsRng* rng) {
  int count = 1 + (int)(us_rng_bits(rng) % 8);
  for (int i = 0; i < count; i++) {
    size_t at = us_rng_bits(rng) % size;
    switch (us_rng_bits(rng) % 4) {
      case 0:
        bytes[at] = (uint8_t)us_rng_bits(rng);
        break;
      case 1:
        bytes[at] = 0;
        break;
      case 2:
        bytes[at] = 255;
        break;
      default:
        bytes[at] ^= (uint8_t)(1 << us_rng_bits(rng) % 8);
    }
  }
}

// Verifies one mutated file and, when it is good, imports it.
static void try_one(const char* path, const char* out) {
  static const UsImport config = {.task = "toy", .dt = 0.1, .overwrite = 1};
  UsVerdict v;
  if (us_dataset_verify(path, 0, 0, &v) != US_OK) return;
  UsImportNotes notes;
  us_dataset_import(path, out, &config, &v, &notes);
}

// All rounds on one file, in a child; the round that ended it is in the file `round`.
static void try_file(const char* good, int salt) {
  void* bytes;
  size_t size;
  assert_int_equal(us_file_read(good, 0, &bytes, &size), US_OK);
  const char *path = toy_path("mutant.h5"), *out = toy_path("child.h5");
  int tube[2];
  assert_int_equal(pipe(tube), 0);
  pid_t child = fork();
  if (child == 0) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < 5; i++) signal(signals[i], SIG_DFL);  // cmocka's would go on
    for (int round = 0; round < kRounds; round++) {
      UsRng rng = us_rng((uint64_t)salt, US_RNG_TEST, (uint64_t)round, 0, 0);
      uint8_t* copy = malloc(size);
      memcpy(copy, bytes, size);
      mutate(copy, size, &rng);
      FILE* f = fopen(path, "wb");
      if (!f || fwrite(copy, 1, size, f) != size) _exit(3);
      fclose(f);
      free(copy);
      if (write(tube[1], &round, sizeof(round)) != sizeof(round)) _exit(4);
      alarm(kSeconds);
      try_one(path, out);
    }
    _exit(0);
  }
  close(tube[1]);
  int round = -1, next, how;
  while (read(tube[0], &next, sizeof(next)) == sizeof(next)) round = next;
  close(tube[0]);
  assert_int_equal(waitpid(child, &how, 0), child);
  free(bytes);
  if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) {
    fail_msg("file %d, round %d: %s %d", salt, round, WIFSIGNALED(how) ? "signal" : "exit",
             WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how));
  }
  assert_int_equal(round, kRounds - 1);
}

static void test_ours(void** state) {
  const char* path = toy_path("ours.h5");
  toy_write(path, 2, 2, 0);
  try_file(path, 1);
}

static void test_others(void** state) {
  const char* path = toy_path("other.h5");
  for (int i = 0; i < 3; i++) {
    Foreign f = foreign_make(i == 0 ? SWM_010 : SWM_006);
    f.latest = i != 1;
    foreign_column(&f, "pixels")->filter = i == 1 ? H5Z_FILTER_DEFLATE : 0;
    foreign_write(&f, path);
    try_file(path, 2 + i);
  }
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ours), cmocka_unit_test(test_others)};
  return cmocka_run_group_tests(tests, NULL, teardown);
}
