#!/usr/bin/env bash
# Who may include whom. Fails with the line of an include that no layer allows, and checks that file
# names are unique.
set -euo pipefail
cd "$1"
bad=0
# folder: allowed project folders | allowed outside headers (regex)
check() {
  local folder=$1 inside=$2 outside=$3 line target
  while IFS= read -r line; do
    target=$(sed -E 's/.*#include "([^"]+)".*/\1/' <<<"$line")
    if ! grep -qE "^($inside)/" <<<"$target"; then echo "not allowed in $folder: $line"; bad=1; fi
  done < <(grep -rnE '^#include "' "$folder" --include=*.[ch] | { [ "$folder" = worldmodel ] && grep -v '^worldmodel/base/' || cat; })
  while IFS= read -r line; do
    target=$(sed -E 's/.*#include <([^>]+)>.*/\1/' <<<"$line")
    if grep -qE '^(mujoco/|EGL/|GL/|GLFW/|cblas|hdf5|cairo|popt|cuda|cublas|cmocka)' <<<"$target" &&
       ! grep -qE "^($outside)" <<<"$target"; then echo "not allowed in $folder: $line"; bad=1; fi
  done < <(grep -rnE '^#include <' "$folder" --include=*.[ch])
}
check worldmodel/base 'worldmodel/base' 'none'
check worldmodel 'worldmodel' 'cblas'
check env 'env|worldmodel' 'mujoco/|EGL/|GL/|GLFW/'
check tasks 'tasks|env|worldmodel/base' 'mujoco/'
check datasets 'datasets|env|worldmodel' 'hdf5'
check planner 'planner|env|datasets|worldmodel/base' 'none'
if grep -rlE '#include <cblas' worldmodel | grep -vE 'ops_[a-z_]+\.c$'; then
  echo "cblas.h belongs in ops_*.c alone"; bad=1
fi
twins=$(git ls-files '*.c' '*.h' 2>/dev/null | grep -v '^tests/' | xargs -r -n1 basename | sort | uniq -d)
if [ -n "$twins" ]; then echo "file names that occur twice: $twins"; bad=1; fi
exit $bad
