#!/usr/bin/env bash
# scripts/assets.sh in its tiny form: assets.sh BUILD. Killed and gone on with, it comes to the same bits;
# a task can be left out; what is done is taken where the build embeds it from.
set -euo pipefail
. "$(dirname "$0")/rehearsal.sh"
assets="scripts/assets.sh --tiny --threads 1 --grid"

UNDERSTUDY_ASSETS=$work/assets whole $assets --take "$work/whole"
for f in {encoder,grid}/{config.json,model.safetensors,decoder.safetensors} predictor/{config.json,model.safetensors}; do
  cmp "$work/whole/$f" "$work/assets/$f" || fail "not taken: $f"
done
[ -e "$work/assets/encoder/training.jsonl" ] && [ -s "$work/assets/predictor/training.jsonl" ] || fail "logs are missing"

pause=5 kills=0
while :; do
  $assets "$work/killed" >"$work/log" 2>&1 &
  script=$!
  sleep "$((pause / 10)).$((pause % 10))"
  pause=$((pause + 5))
  kill -9 $script 2>/dev/null || { wait $script || fail "$(cat "$work/log")"; break; }
  wait $script 2>/dev/null || true
  kills=$((kills + 1))
done
[ $kills -ge 1 ] || fail "it was never killed"
for f in {encoder,grid}/{config.json,model.safetensors,decoder.safetensors} predictor/model.safetensors; do
  cmp "$work/whole/$f" "$work/killed/$f" || fail "killed $kills times, $f is another"
done

$assets --without pusht --minutes 0.0001 "$work/without" >"$work/log" 2>&1 && fail "time was up, and that is no end"
rc=0
$assets --without none "$work/without" >"$work/log" 2>&1 || rc=$?
[ $rc = 2 ] && grep -q 'found "none"' "$work/log" || fail "$rc: $(cat "$work/log")"
$assets --film 1 --without pusht "$work/without" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
! grep -q pusht "$work/without/commands.json" || fail "a task was left out and is there"
grep -q 'enc_wall.h5' "$work/without/commands.json" || fail "other tasks are missing"
