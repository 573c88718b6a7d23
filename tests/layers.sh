#!/usr/bin/env bash
# Who may include whom: folders, rooms (their subfolders), headers from outside. Fails with the line
# of an include that no layer allows, with a circle of rooms, or with a file name that occurs twice.
set -euo pipefail
cd "$1"
bad=0
say() { echo "$1"; bad=1; }
# Every include of the product as "file:line: header", quoted or in angles.
includes() { grep -rnoE "^#include $1" "${@:2}" --include=*.{c,h,cc,cu} | sed -E 's/#include ["<]([^">]+)[">]?/ \1/'; }

# Folder: the folders it may include, as a regular expression.
while read -r folder allowed; do
  while read -r at target; do
    [[ $folder != worldmodel || $at != worldmodel/base/* ]] || continue
    [[ $target =~ ^($allowed)(/|$) ]] || say "not allowed in $folder: $at $target"
  done < <(includes '"[^"]+"' "$folder")
done <<'LIST'
scripts/cli scripts/cli|env|tasks|datasets|worldmodel/base
scripts/report scripts/(report|cli)|datasets|planner|worldmodel/base
scripts/view scripts/(view|report|cli)|env|datasets|planner|worldmodel/(base|device.h)
worldmodel/base worldmodel/base
worldmodel worldmodel
env env|worldmodel
tasks tasks|env|worldmodel/base
datasets datasets|env|worldmodel
planner planner|env|datasets|worldmodel/(base|ops.h|device.h)
LIST

# Header from outside: the rooms that may include it.
while read -r header rooms; do
  while read -r at target; do
    [[ $at =~ ^($rooms) ]] || say "<$target> is not allowed in $at"
  done < <(includes "<$header" worldmodel env tasks datasets planner scripts)
done <<'LIST'
cblas worldmodel/ops/(cpu|cuda)/|scripts/
(cuda|cublas) worldmodel/ops/cuda/
(EGL|GL)/ env/sim/
mujoco/ env/|tasks/|scripts/
zip env/robot/
hdf5 datasets/|scripts/commands/|scripts/probe/
(cairo|popt) scripts/
GLFW scripts/view/
(libav|libsw) scripts/(view|film|bench)/
cmocka none
LIST

# What lies in a room below a folder's top is that folder's own.
while read -r at target; do
  [[ $target =~ ^(worldmodel|env|tasks|datasets|planner)/[a-z_]+/.*/?[a-z_]+\.h$ ]] || continue
  [[ $target =~ ^(worldmodel/base|tasks/mjcf)/ ]] && continue
  [[ ${at%%/*} = "${target%%/*}" ]] || say "private to ${target%/*}: $at $target"
done < <(includes '"[^"]+"' worldmodel env tasks datasets planner scripts)

# Rooms have no circle. A header belongs to the room of its source, without one to its folder.
circle=$(git ls-files -co --exclude-standard '*.c' '*.h' | grep -v '^tests/' | while read -r f; do
  if [ -f "$f" ]; then echo "$f"; fi; done | xargs awk '
  function dir(p) { sub(/\/[^\/]*$/, "", p); return p }
  function stem(p) { sub(/^.*\//, "", p); sub(/\.[ch]$/, "", p); return p }
  BEGIN { for (i = 1; i < ARGC; i++) if (ARGV[i] ~ /\.c$/) home[stem(ARGV[i])] = dir(ARGV[i]) }
  function room(p) { return stem(p) in home ? home[stem(p)] : dir(p) }
  /^#include "/ { split($0, part, "\""); a = room(FILENAME); b = room(part[2]); if (a != b) print a, b }' |
  sort -u | tsort 2>&1 >/dev/null | sed 's/^tsort: *-*:* *//' || true)
[ -z "$circle" ] || say "a circle of rooms: $(tr '\n' ' ' <<<"$circle")"

# C++ lies where a GPU's compiler asks for it.
while read -r f; do
  [[ $f =~ ^(tests/)?worldmodel/ops/cuda/ ]] || say "C++ is not allowed: $f"
done < <(git ls-files -co --exclude-standard '*.cc' '*.cu' '*.cpp' '*.hpp')

twins=$(git ls-files -co --exclude-standard '*.c' '*.h' '*.cc' '*.cu' | grep -v '^tests/' | xargs -r -n1 basename | sort | uniq -d)
[ -z "$twins" ] || say "file names that occur twice: $twins"
exit $bad
