#!/usr/bin/env bash
# scripts/steps.sh: a step is run once; where its command, or that of a step whose output it takes, is
# another, it is run anew; one that fails says why and is not done; time that is up is no failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$1"; exit 1; }
. scripts/steps.sh
UNDERSTUDY_BUILD=$work steps_begin test "$work/out" 0

echo one >../one
echo two >../two
plan() {
  steps_plan
  step a/first cp "../$1" a/first
  step second cp a/first:3 second
  step third cp ../one third
}
ran() { steps_run test 2>&1 | grep -c ' cp ' || true; }
mkdir a
cp ../one a/first:3  # a word with a weight stands for the file before it
plan one
[ "$(ran)" = 3 ] || fail "not every step was run"
[ "$(ran)" = 0 ] || fail "a step was run twice"
[ "$(steps_json)" = '"cp ../one a/first", "cp a/first:3 second", "cp ../one third"' ] || fail "$(steps_json)"
plan two
! steps_done second || fail "done with another first step"
steps_done third || fail "a step that takes nothing of it is not done"
[ "$(ran)" = 2 ] || fail "expected the first step and the second anew"
[ "$(cat a/first)" = two ] || fail "the first step is the old one"

# Many at a time, what lies in a folder waits for the step that makes the folder.
printf '#!/bin/bash\nsleep 0.5; mkdir "$1"; echo "$1" >"$1/inside"\n' >../slow
chmod +x ../slow
steps_plan
step folder ../slow folder
step copy cp folder/inside copy
steps_run_many 2 >log/test 2>&1 || fail "$(cat log/test)"
[ "$(cat copy)" = folder ] || fail "a file in a folder was taken before it was there: $(cat log/test)"

# Commands that compute name the device, and what was made on another is not done.
steps_plan
step model understudy finetune --out model
steps_write model "done" 0 0
steps_done model || fail "a note of done is not read"
steps_device cuda:1
steps_plan
step model understudy finetune --out model
step data understudy collect --out data
step assets assets.sh assets
[ "$(steps_json)" = '"understudy finetune --out model --device cuda:1", "understudy collect --out data", "assets.sh assets --device cuda:1"' ] || fail "$(steps_json)"
! steps_done model || fail "made on the CPU it is done on a GPU"
steps_device cpu
steps_plan
step model understudy finetune --out model
steps_done model || fail "the CPU is the device where none is named"
! steps_device gpu 2>log/test || fail "gpu is a device"
grep -q '^--device: expected cpu, cuda or cuda:N, found "gpu"$' log/test || fail "$(cat log/test)"

# What starts from the embedded encoder or predictor is not done with another one embedded.
plan() {
  steps_plan
  step model understudy finetune --out model
  step full understudy finetune --mode full --out full
  step own understudy finetune --encoder own/encoder --out own
  step probe understudy encoder probe --encoder default
}
plan
for output in model full own probe; do steps_write $output "done" 0 0; done
steps_predictor=other
plan
! steps_done full || fail "done with another predictor embedded"
steps_done model && steps_done probe || fail "what asks no predictor is not done with another one"
steps_encoder=other
plan
! steps_done model && ! steps_done probe || fail "done with another encoder embedded"
steps_done own || fail "what has an encoder of its own is not done"

steps_plan
step missing cp ../none missing
step after cp ../one after
rc=0
steps_run test >log/test 2>&1 || rc=$?
[ $rc = 1 ] && grep -q "failed: cp: .*none.*No such file" log/test || fail "$rc: $(cat log/test)"
[ ! -e after ] && ! steps_done missing || fail "it went on behind a step that failed"

# A command that is at work when time is up is stopped, and is not done.
printf '#!/bin/bash\nexec sleep 30\n' >../understudy
chmod +x ../understudy
steps_plan
step long understudy long
STEPS_UNTIL=$(($(date +%s) + 1))
rc=0
SECONDS=0
steps_run test >log/test 2>&1 || rc=$?
[ $rc = 75 ] && [ $SECONDS -lt 20 ] || fail "expected 75 soon, found $rc after $SECONDS s: $(cat log/test)"
! steps_done long || fail "what was stopped is done"

steps_plan
step third cp ../two third
STEPS_UNTIL=$(date +%s)
rc=0
steps_run test >log/test || rc=$?
[ $rc = 75 ] || fail "expected 75 for time that is up, found $rc"
