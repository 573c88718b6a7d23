#!/usr/bin/env bash
# loop.sh LOOP UNDERSTUDY: tests/loop.c, which the README shows word for word, runs the whole loop, and all that
# the library does there writes nothing to stderr, forks nothing and starts nothing but its helper for
# HDF5 files. Exit code 77, a skip, where nothing renders or strace may not look.
set -euo pipefail
program=$(realpath "$1")
OPENBLAS_CORETYPE=$("$2" --version | sed -n 's/.*, kernel //p')  # the library cannot choose
export OPENBLAS_CORETYPE
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n '/^## From C/,/^## /p' README.md | sed -n '/^```c$/,/^```$/p' | sed '1d;$d' >"$work/readme.c"
diff tests/loop.c "$work/readme.c" || { echo "README: From C is not tests/loop.c"; exit 1; }

cd "$work"
if ! command -v strace >/dev/null || ! strace -f --seccomp-bpf -o /dev/null -e trace=write true 2>/dev/null; then
  echo "strace is missing or may not look"
  exit 77
fi
strace -f --seccomp-bpf -o calls -e trace=write,writev,pwrite64,fork,vfork,clone,clone3,execve "$program" >out || {
  cat out
  if grep -q '^no OpenGL' out; then exit 77; fi
  exit 1
}
cat out
grep -q '^model: .* % of 32 solved$' out
grep -q '^random: .* % of 32 solved$' out
for file in train.h5 heldout.h5 model/config.json eval.json; do test -s "$file"; done
if grep -E '(write|writev|pwrite64)\(2,' calls; then echo "written to stderr"; exit 1; fi
if grep -E 'fork\(|clone3?\(' calls | grep -vE 'CLONE_THREAD|CLONE_VFORK'; then echo "forked"; exit 1; fi
if grep 'execve(' calls | sed 1d | grep -v '/understudy-probe"'; then echo "a program was started"; exit 1; fi
grep -q CLONE_THREAD calls && grep -q 'write(1,' calls  # the trace sees threads and writes
