#!/usr/bin/env bash
# lint.sh BUILD [analyse]: clang-tidy and cppcheck have nothing to say about the product's sources; with
# "analyse" clang's analyser, which follows paths and takes minutes, in their place. Exit code 77, a
# skip, where a tool is missing.
set -euo pipefail
build=$(realpath "$1") mode=${2:-}
cd "$(dirname "$0")/.."
for tool in clang-tidy cppcheck; do command -v $tool >/dev/null || { echo "no $tool"; exit 77; }; done
folders=(worldmodel env tasks datasets planner scripts)

# Rules that found faults or could; left out are those of taste, and those that are wrong more often
# than right here: about widths of sums whose parts were checked before, and integers divided on purpose.
rules='-*,bugprone-*'
for no in easily-swappable-parameters reserved-identifier narrowing-conversions misplaced-widening-cast \
  implicit-widening-of-multiplication-result macro-parentheses suspicious-string-compare \
  suspicious-memory-comparison integer-division sizeof-expression not-null-terminated-result; do
  rules+=",-bugprone-$no"
done
if [ -n "$mode" ]; then
  # Left out are those that do not know that a status other than US_OK ends the path; the sanitizers
  # and valgrind look for what these would.
  rules='-*,clang-analyzer-*'
  for no in core.NullDereference core.NonNullParamChecker 'core.uninitialized.*' core.CallAndMessage \
    core.UndefinedBinaryOperatorResult core.DivideZero unix.Malloc 'valist.*' 'optin.*' \
    'security.insecureAPI.*'; do
    rules+=",-clang-analyzer-$no"
  done
fi

bad=0
find "${folders[@]}" -name '*.c' -print0 |
  xargs -0 -n 8 -P "$(nproc)" clang-tidy -p "$build" --quiet --checks="$rules" --warnings-as-errors='*' \
    --extra-arg=-Wno-unknown-warning-option 2>/dev/null || bad=1
[ -n "$mode" ] ||
  cppcheck --quiet -j "$(nproc)" -I . --enable=warning,performance --inline-suppr --error-exitcode=1 \
    --suppress={uninitvar,legacyUninitvar,zerodiv,uselessAssignmentPtrArg} "${folders[@]}" || bad=1
exit $bad
