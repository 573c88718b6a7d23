#!/usr/bin/env bash
# scripts/table4.sh in its tiny form: table4.sh BUILD. Whole, and killed at several moments, it comes to
# the same table; nothing that it started outlives it; one run at a time; what was made otherwise is made
# anew; a program without a column's options fails in one line and the other cells are run.
set -euo pipefail
. "$(dirname "$0")/rehearsal.sh"
table="scripts/table4.sh --tiny --threads 1"
export UNDERSTUDY_ASSETS=$work/none  # the cells of the tree are done
# Processes that work in a folder.
inside() {
  local p
  for p in /proc/[0-9]*; do [ "$(readlink "$p/cwd")" != "$1" ] || tr '\0' ' ' <"$p/cmdline"; done
}

[ "$(scripts/table4.sh --list "$work/list" | wc -l)" -le 90 ] || fail "more than 90 cells"
# Sizes beyond the first at which scratch reaches 70 % are not needed.
for rate in 0.6 0.8; do
  mkdir -p "$work/list/cells/wall-10-scratch"
  printf '"first_hit": {\n"rate": %s\n' $rate >"$work/list/cells/wall-10-scratch/eval.json"
  scripts/table4.sh --list "$work/list" >"$work/log"
  [ "$(grep -c 'not needed$' "$work/log")" = $([ $rate = 0.6 ] && echo 0 || echo 2) ] || fail "sizes at $rate: $(grep wall "$work/log")"
done
UNDERSTUDY_ASSETS=$work/assets whole $table --take "$work/whole"
grep -q '^| pusht, 4 labelled | `full` | [0-9.]* \[' "$work/whole/table4.md" || fail "no row of full: $(cat "$work/whole/table4.md")"
grep -q 'understudy finetune --data shared/pusht-4-seed11.h5' "$work/whole/table4.json" || fail "no commands in table4.json"
grep -q 'understudy pretrain --gap 0 ' "$work/whole/table4.json" || fail "a trunk that does not know the gap"
grep -o 'understudy finetune [^"]*' "$work/whole/table4.json" | grep -- '--trunk-rate' >"$work/log" || fail "a trunk of its own film at the full rate"
! grep -v 'cells/pusht-4-full/model' "$work/log" || fail "another column with the rate of full"
grep -q '</svg>' "$work/assets/results/table4.svg" || fail "no picture"
cmp "$work/whole/table4.json" "$work/assets/results/table4.json" || fail "the table was not taken"

# In another folder what was taken is done, alone and many at a time, and the table is the same; a cell
# that was taken with another command is run.
for jobs in 1 3; do
  UNDERSTUDY_ASSETS=$work/assets $table --jobs $jobs "$work/again$jobs" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
  ! grep ': understudy' "$work/log" || fail "a cell that was taken was run"
  cmp "$work/whole/table4.json" "$work/again$jobs/table4.json" || fail "what was taken comes to another table"
done
[ "$(UNDERSTUDY_ASSETS=$work/assets scripts/table4.sh --tiny --list "$work/again" | grep -c ' done, ')" = 4 ] || fail "the list does not know what was taken"
UNDERSTUDY_ASSETS=$work/assets $table --device cuda --minutes 0.0001 "$work/cuda" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
grep -q '0 of 4 cells are done' "$work/log" || fail "cells of the CPU are done on a GPU: $(cat "$work/log")"

# Killed after 0.3 s, 0.6 s, and so on, until a run gets to its end.
pause=0 kills=0
while :; do
  $table "$work/killed" >"$work/log" 2>&1 &
  script=$!
  pause=$((pause + 3))
  sleep "$((pause / 10)).$((pause % 10))"
  kill -9 $script 2>/dev/null || { wait $script || fail "$(cat "$work/log")"; break; }
  wait $script 2>/dev/null || true
  kills=$((kills + 1))
  sleep 0.1
  [ -z "$(inside "$work/killed")" ] || fail "a command outlived the script: $(inside "$work/killed")"
done
[ $kills -ge 2 ] || fail "it was killed $kills times"
diff "$work/whole/table4.md" "$work/killed/table4.md" || fail "killed $kills times it came to another table"

# Several commands at a time come to the same table, and Ctrl-C ends them all; the next run goes on.
setsid $table --jobs 3 "$work/many" >"$work/log" 2>&1 &
script=$!
sleep 1.5
kill -INT -- -$script
wait $script 2>/dev/null || true
[ -z "$(inside "$work/many")" ] || fail "a command outlived Ctrl-C: $(inside "$work/many")"
$table --jobs 3 "$work/many" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
diff "$work/whole/table4.md" "$work/many/table4.md" || fail "three at a time it is another table"

# A second run is told whose the folder is.
rc=0
(
  flock 8
  echo 4711 >&8
  $table "$work/whole"
) 8<>"$work/whole/lock" >"$work/log" 2>&1 || rc=$?
[ $rc = 1 ] && grep -q 'another run is at work here, process 4711' "$work/log" || fail "two runs: $rc: $(cat "$work/log")"

rc=0
scripts/table4.sh --cell none "$work/whole" >"$work/log" 2>&1 || rc=$?
[ $rc = 2 ] && grep -q 'there is no cell "none"' "$work/log" || fail "a cell that is not there: $rc: $(cat "$work/log")"

# A cell whose notes name another command is made anew, and that one alone.
sed -i 1s/.*/other/ "$work"/whole/steps/cells+pusht-4-full+*
$table "$work/whole" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
[ "$(grep -c 'was made otherwise: anew' "$work/log")" = 2 ] || fail "$(cat "$work/log")"
[ "$(grep -c ': understudy' "$work/log")" = 2 ] || fail "$(cat "$work/log")"
diff "$work/whole/table4.md" "$work/killed/table4.md" || fail "made anew it is another table"

# Out of time at once: nothing is run, and that is no failure.
$table --minutes 0.0001 "$work/late" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
grep -q 'the same command goes on' "$work/log" || fail "$(cat "$work/log")"

# On a GPU every command says so; another device is told what there is.
$table --device cuda --minutes 0.0001 "$work/device" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
! grep -oE 'understudy (pretrain|finetune|eval) [^"]*' "$work/device/table4.json" | grep -v -- ' --device cuda$' || fail "a command without the device"
rc=0
$table --device gpu "$work/device" >"$work/log" 2>&1 || rc=$?
[ $rc = 2 ] && grep -q 'found "gpu"' "$work/log" || fail "$rc: $(cat "$work/log")"

# A program that lacks a column's option: one line, and the other cells.
mkdir "$work/old"
cat >"$work/old/understudy" <<EOF
#!/bin/bash
case "\$*" in *"--film "*) echo "understudy finetune: --film: unknown option" >&2; exit 2 ;; esac
exec $UNDERSTUDY_BUILD/understudy "\$@"
EOF
chmod +x "$work/old/understudy"
rc=0
UNDERSTUDY_BUILD=$work/old $table "$work/lacking" >"$work/log" 2>&1 || rc=$?
[ $rc = 1 ] || fail "a column failed, and the script ends with $rc"
[ "$(grep -c 'pusht-4-labels: failed: understudy finetune: --film: unknown option' "$work/log")" = 1 ] || fail "$(cat "$work/log")"
grep -q '| `labels` | not run' "$work/lacking/table4.md" && grep -q '| `full` | [0-9]' "$work/lacking/table4.md" || fail "$(cat "$work/lacking/table4.md")"
