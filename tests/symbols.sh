#!/usr/bin/env bash
# symbols.sh LIBRARY HEADER...: what the library exports is what the public headers declare: every
# name begins with us_, can be used in C behind those headers, and none that is marked lacks.
set -euo pipefail
library=$1
shift
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nm -D --defined-only "$library" | awk '{ print $3 }' | sort >"$work/exported"
[ "$(wc -l <"$work/exported")" -gt 200 ] || { echo "few symbols: $(wc -l <"$work/exported")"; exit 1; }
if grep -v '^us_[a-z0-9_]*$' "$work/exported"; then echo "exported, with another name than us_*"; exit 1; fi

# A file that takes the address of every exported name compiles.
{
  printf '#include "%s"\n' "$@"
  sed 's/.*/const void* at_&(void) { return (const void*)\&&; }/' "$work/exported"
} >"$work/all.c"
cc -std=gnu11 -w -Werror=implicit -fsyntax-only -I . -I deps/mujoco/include "$work/all.c"

scripts/package/exports.sh "$@" | sed -n 's/^    \(us_.*\);$/\1/p' | sort >"$work/marked"
diff "$work/marked" "$work/exported" || { echo "marked with US_API (<) is not what is exported (>)"; exit 1; }
