#!/usr/bin/env bash
# headers.sh HEADER...: every public header compiles alone, as C11 and, where a compiler is there, as
# C++17, without a warning.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(-Wall -Wextra -Werror -fsyntax-only -I . -I deps/mujoco/include)
bad=0
for h in "$@"; do
  cc -std=c11 "${flags[@]}" -x c - <<<"#include \"$h\"" || { echo "as C11: $h"; bad=1; }
  ! command -v c++ >/dev/null ||
    c++ -std=c++17 "${flags[@]}" -x c++ - <<<"#include \"$h\"" || { echo "as C++17: $h"; bad=1; }
done
exit $bad
