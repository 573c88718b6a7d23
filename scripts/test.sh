#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests: those that do not render under the address and
# undefined-behaviour sanitizers, those with threads under the thread sanitizer, and all of them as
# released. The last lines are ctest's.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh asan
# Leaks are looked for in our code: drivers and BLAS keep memory of their own until the end.
export ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=$PWD/tests/leaks.txt:print_suppressions=0
ctest --preset asan --output-on-failure -j "$(nproc)"
unset ASAN_OPTIONS LSAN_OPTIONS
scripts/build.sh tsan
TSAN_OPTIONS="suppressions=$PWD/tests/threads.txt halt_on_error=1" \
  ctest --preset tsan --output-on-failure -j "$(nproc)"
scripts/build.sh release
ctest --preset release --output-on-failure -j "$(nproc)"
