#!/usr/bin/env bash
# scripts/bench/others.sh in its tiny form: others.sh BUILD. Several commands at a time come to a whole
# table, of which nothing is made twice and no trunk has seen a film of the task; seeds are taken together.
set -euo pipefail
. "$(dirname "$0")/rehearsal.sh"
others="scripts/bench/others.sh --tiny --threads 1 --jobs 2"

whole $others "$work/out"
for row in scratch latent_labelled labels_push; do
  grep -qE "^\| 4 labelled \| \`$row\` \| [0-9.]+ \[" "$work/out/others.md" || fail "no row of $row: $(cat "$work/out/others.md")"
done
grep -o 'understudy pretrain [^"]*' "$work/out/others.json" | grep -q -- '--data without/enc_wall.h5 without/enc_pusht.h5 labelled-4.h5 ' || fail "a trunk of other films"
! grep -q 'enc_pointmaze' "$work/out/others.json" || fail "a film of the task itself"
$others "$work/out" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
! grep -q ' of [0-9]*\] ' "$work/log" || fail "made twice: $(cat "$work/log")"
# A second training seed of a row: the first one's stands.
$others --seeds 1,2 --row scratch-4 "$work/out" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
[ "$(grep -c ' of [0-9]*\] ' "$work/log")" = 2 ] || fail "one training and one evaluation: $(cat "$work/log")"
grep -q '"seeds":[[:space:]]*2' "$work/out/others.json" || fail "seeds are not taken together"
rc=0
$others --row none "$work/out" >"$work/log" 2>&1 || rc=$?
[ $rc = 2 ] && grep -q 'there is no row "none"' "$work/log" || fail "$rc: $(cat "$work/log")"
