#!/usr/bin/env bash
# scripts/results.sh in its tiny form, killed once: results.sh BUILD. Rows have their old and their new
# form and the commands that make them; what was not run has no new form.
set -euo pipefail
. "$(dirname "$0")/rehearsal.sh"
results="scripts/results.sh --tiny --threads 1 --row wall --row candidates --row memory --row rollout --row physics"

$results "$work/out" >"$work/log" 2>&1 &
script=$!
sleep 1
kill -9 $script || fail "it was done before it was killed"
wait $script 2>/dev/null || true
sleep 0.1
whole $results "$work/out"
n='[0-9.]+'
grep -qE "^  old  \| \`wall\` \| $n / $n \| \*\*$n\*\* \[" "$work/log" || fail "no old row: $(cat "$work/log")"
grep -qE "^  new  \| \`wall\` \| $n / $n \| \*\*$n\*\* \[$n, $n\] / $n \| $n \| $n / $n \| $n / $n \(2\) \|$" "$work/log" || fail "no new row: $(cat "$work/log")"
grep -qE "^  new  \| candidate-steps a core-second \| [1-9][0-9]* \|" "$work/log" || fail "no candidate-steps: $(cat "$work/log")"
grep -qE "^  new  \| rollout, .* \| [1-9][0-9]* % \|" "$work/log" || fail "no rollout: $(cat "$work/log")"
grep -qE "^  new  \| physics .* \| $n \([1-9][0-9]*\) \|" "$work/log" || fail "no physics: $(cat "$work/log")"
# The row is what the evaluation says.
rate=$(awk '/"model":\t\{/ { on = 1 } on && /"first_hit":/ { hit = 1 } hit && /"rate":/ { printf "%.1f", 100 * $2; exit }' "$work/out/wall/eval.json")
grep -q "^  new  | \`wall\` | .* | \*\*$rate\*\*" "$work/log" || fail "expected $rate: $(cat "$work/log")"
"$UNDERSTUDY_BUILD/understudy" inspect "$work/out/results.json" >/dev/null || fail "results.json is not JSON"
grep -q 'understudy finetune --data wall/train.h5' "$work/out/results.json" || fail "no commands"
grep -A 2 '"name": "film"' "$work/out/results.json" | grep -q '"new": null' || fail "a row that was not run has figures"
# On a GPU the rows of speed are left out, which are of a processor.
scripts/results.sh --tiny --device cuda --list "$work/device" >"$work/log"
[ "$(cut -d ' ' -f 1 "$work/log" | tr '\n' ' ')" = 'wall probe-wall ' ] || fail "$(cat "$work/log")"
