#!/usr/bin/env bash
# scripts/bench/rollout.sh in its tiny form, stopped once: rollout.sh BUILD. Each row has its errors
# beside those of what it is compared with, and its success.
set -euo pipefail
. "$(dirname "$0")/rehearsal.sh"
rollout="scripts/bench/rollout.sh --tiny --threads 1"

whole $rollout --row pointmaze-leap5 "$work/out"
n='[0-9.]+'
row="^\| pointmaze \| \`leap5\`: one leap \| base \| 12 \| $n \+- $n \| $n \+- $n \| $n \+- $n, $n \+- $n \| $n \[$n, $n\] \| $n \|$"
grep -qE "$row" "$work/out/rollout.md" || fail "no row of leap5: $(cat "$work/out/rollout.md")"
grep -q '`base`' "$work/out/rollout.md" || fail "no row of what it is compared with: $(cat "$work/out/rollout.md")"
! grep -q '`context3`' "$work/out/rollout.md" || fail "a row that was not run"
# The whole goes on from there.
whole $rollout "$work/out"
! grep -qE 'pointmaze-(base|leap5): ' "$work/log" || fail "made twice: $(cat "$work/log")"
[ "$(grep -c '^| pointmaze ' "$work/out/rollout.md")" = 3 ] || fail "$(cat "$work/out/rollout.md")"
rc=0
$rollout --row none "$work/out" >"$work/log" 2>&1 || rc=$?
[ $rc = 2 ] && grep -q 'there is no row "none"' "$work/log" || fail "$rc: $(cat "$work/log")"
