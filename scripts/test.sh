#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests: those that do not render under the address and
# undefined-behaviour sanitizers, those with threads under the thread sanitizer, and all of them as
# released; in between those of the Python package. The last lines are ctest's. Others:
#   scripts/test.sh quick     what takes under three minutes after a build: nothing slow, no sanitizers
#   scripts/test.sh nightly   what is too long for every change
#   scripts/test.sh interop   the Python package beside torch, lerobot and others, which it installs
set -euo pipefail
cd "$(dirname "$0")/.."
export UNDERSTUDY_OPTIONAL=1
mode=${1:-all}
if [ "$mode" = interop ]; then
  scripts/install.sh
  exec tests/scripts/python/run.sh interop
fi
run() { ctest --preset "$1" --output-on-failure -j "$(nproc)"; }
if [ "$mode" = all ]; then
  scripts/build.sh asan
  # Leaks are looked for in our code: drivers and BLAS keep memory of their own until the end.
  ASAN_OPTIONS=detect_leaks=1 \
    LSAN_OPTIONS=suppressions=$PWD/tests/leaks.txt:print_suppressions=0 run asan
  scripts/build.sh tsan
  TSAN_OPTIONS="suppressions=$PWD/tests/threads.txt halt_on_error=1" run tsan
  # The Python package, in an environment of its own.
  tests/scripts/python/run.sh
  mode=release
fi
scripts/build.sh release
run "$mode"
