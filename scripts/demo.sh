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

# What a task needs beyond the defaults: training trajectories, their env steps, held-out ones, flags
# of fine-tuning and of evaluation.
settings() {
  train=600 steps=200 heldout=600 heldout_steps=60 tune=() plan=()
  local search=(--samples 128 --iterations 6 --warm-iterations 4 --elites 10)
  case "$1" in
    reacher) plan=("${search[@]}" --horizon 6) ;;
    pusht) train=1200 tune=(--steps 12000) plan=("${search[@]}" --deadline --oracle-pairs 32) ;;
    arm_reach) steps=100; plan=(--oracle-pairs 16) ;;
    arm_cube) steps=150; plan=(--subgoals 4 --horizon 2 --samples 128 --oracle-pairs 16) ;;
    rope | granular)  # an env step is a whole push: no ceiling, which would take an hour
      steps=20 heldout_steps=14 plan=(--samples 128 --warm-iterations 4 --rows model,state,random) ;;
  esac
}

for task in "$@"; do
  [[ "$task" =~ ^[a-z0-9_]+$ ]] || { echo "demo: \"$task\" is not the name of a task" >&2; exit 2; }
  settings "$task"
  out=runs/demo/$task
  mkdir -p "$out"
  begin=$SECONDS
  step() { echo "== $task: $1 (at $((SECONDS - begin)) s)"; }

  step "collect $train training trajectories"
  $understudy collect --task "$task" --episodes "$train" --steps "$steps" --seed 1 --out "$out/train.h5" --resume
  step "collect $heldout held-out trajectories"
  $understudy collect --task "$task" --episodes "$heldout" --steps "$heldout_steps" --seed 3 --out "$out/heldout.h5" --resume
  step "fine-tune the world model"
  $understudy finetune --data "$out/train.h5" --mode full --out "$out/model" --resume ${tune[@]+"${tune[@]}"}
  step "the same on true states, for the state row"
  $understudy finetune --data "$out/train.h5" --mode scratch --encoder state --out "$out/model-state" --resume ${tune[@]+"${tune[@]}"}
  step "plan: 512 episodes, with floor and ceiling"
  $understudy eval --task "$task" --model "$out/model" --state-model "$out/model-state" \
    --data "$out/heldout.h5" --protocol dinoworld --episodes 512 --json "$out/eval.json" --resume ${plan[@]+"${plan[@]}"}
  step "draw the report"
  $understudy report --json "$out/eval.json" --out "$out/report"
  step "done: $out/report/index.html"
done
