#!/usr/bin/env bash
# The main job on the embedded default: collect, fine-tune, plan in the model, success over 512
# held-out episodes beside floor, ceiling and true-state row, and a report with pictures.
#
#   scripts/demo.sh [task ...]        any of `understudy help`; pointmaze if none is named
#
# Everything lies under runs/demo/<task>/: train.h5 heldout.h5 model/ model-state/ eval.json report/.
# A demo that was stopped goes on where it was; remove the folder to start anew.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ $# -gt 0 ] || set -- pointmaze

scripts/build.sh release >/dev/null
understudy=build/release/understudy

. scripts/sizes.sh
for task in "$@"; do
  [[ "$task" =~ ^[a-z0-9_]+$ ]] || { echo "demo: \"$task\" is not the name of a task" >&2; exit 2; }
  demo_sizes "$task"
  out=runs/demo/$task
  mkdir -p "$out"
  begin=$SECONDS
  step() { echo "== $task: $1 (at $((SECONDS - begin)) s)"; }

  step "collect $train training trajectories"
  $understudy collect --task "$task" --episodes "$train" --steps "$steps" --seed 1 --out "$out/train.h5" --resume
  step "collect $heldout held-out trajectories"
  $understudy collect --task "$task" --episodes "$heldout" --steps "$heldout_steps" --seed 3 --out "$out/heldout.h5" --resume
  step "fine-tune the world model"
  $understudy finetune --data "$out/train.h5" --out "$out/model" --resume
  step "the same on true states, for the state row"
  $understudy finetune --data "$out/train.h5" --mode scratch --encoder state --out "$out/model-state" --resume
  step "plan: 512 episodes, with floor and ceiling"
  $understudy eval --task "$task" --model "$out/model" --state-model "$out/model-state" \
    --data "$out/heldout.h5" --protocol dinoworld --episodes 512 --json "$out/eval.json" --resume
  step "draw the report"
  $understudy report --json "$out/eval.json" --out "$out/report"
  step "done: $out/report/index.html"
done
