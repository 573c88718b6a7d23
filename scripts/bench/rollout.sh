#!/usr/bin/env bash
# What makes rollouts better: one thing changed at a time in how the predictor is made and trained, on
# PushT and PointMaze, each with its errors on held-out trajectories and its success in planning.
#
#   scripts/bench/rollout.sh [options] OUT     runs what is not done and writes OUT/rollout.md
#     --minutes M       end after so long (120; 0: when all is done); the next run goes on from there
#     --jobs N          run so many commands at a time (1), for a GPU, which one does not fill
#     --list            print the rows and what is done of them
#     --row NAME        make this row alone, TASK-VARIANT; may be repeated
#     --steps N         training steps (6000)
#     --size-minutes M  of training, of the rows that compare sizes at equal time (8)
#     --pairs N         held-out pairs that are planned (512)
#     --threads N       threads of each command (all); change no result
#     --device D        cpu, or cuda, cuda:N to train and plan on a GPU
#     --tiny            small sizes, to try the script
#
# A run that was stopped or killed goes on with the same command; OUT belongs to one run at a time. All
# rows take about 8 hours on two cores.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
case "${1:-}" in -h | --help) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
. "$here/steps.sh"
. "$here/figures.sh"
minutes=120 jobs=1 list=0 tiny=0 only=() out='' steps=6000 size_minutes=8 pairs=512
while [ $# -gt 0 ]; do
  case "$1" in
    --list) list=1 ;;
    --tiny) tiny=1 ;;
    --minutes | --jobs | --row | --steps | --size-minutes | --pairs | --threads | --device)
      [ $# -gt 1 ] || { echo "rollout: $1: expected a value" >&2; exit 2; }
      case "$1" in
        --minutes) minutes=$2 ;;
        --jobs) jobs=$2 ;;
        --row) only+=("$2") ;;
        --steps) steps=$2 ;;
        --size-minutes) size_minutes=$2 ;;
        --pairs) pairs=$2 ;;
        --threads) export STEPS_THREADS=$2 ;;
        --device) steps_device "$2" || exit 2 ;;
      esac
      shift ;;
    -*) echo "rollout: expected an option of --help, found \"$1\"" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || { echo "rollout: --jobs: expected a number from 1, found \"$jobs\"" >&2; exit 2; }
[ -n "$out" ] || { echo "rollout: expected a folder for the results" >&2; exit 2; }
for number in "$minutes" "$steps" "$size_minutes" "$pairs"; do
  [[ $number =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "rollout: expected a number, found \"$number\"" >&2; exit 2; }
done

# ---- the rows, the one place of them ----

# Name; what others are compared with; what it is; options of understudy finetune. `time` stands for the
# same minutes of training in place of steps.
variants() {
  if [ $tiny = 1 ]; then
    printf '%s\n' "base - as_it_is" "context3 base three_frames_seen --context 3" "leap5 base one_leap --rollout 5 --leap 5"
    return
  fi
  cat <<'VARIANTS'
base      -         as_it_is:_2_frames_seen,_loss_over_4_frames
context1  base      1_frame_seen                              --context 1
context3  base      3_frames_seen                             --context 3
detach    base      no_gradient_through_frames_fed_back       --rollout-detach
teacher   base      no_rollout_loss                           --rollout 1
five      base      loss_over_5_frames                        --rollout 5
leap2     five      leaps_of_2_blocks                         --rollout 5 --leap 2
leap5     five      one_leap_of_5_blocks                      --rollout 5 --leap 5
timed     -         width_128,_depth_3                        time
narrow    timed     width_64                                  time --width 64
wide      timed     width_256                                 time --width 256
shallow   timed     depth_1                                   time --depth 1
deep      timed     depth_6                                   time --depth 6
VARIANTS
}

tasks=(pusht pointmaze)
[ $tiny = 0 ] || tasks=(pointmaze)
settings() {  # task
  planner="--samples 64 --iterations 4 --warm-iterations 2 --elites 6" labelled=300
  [ "$1" != pusht ] || planner="--samples 128 --iterations 6 --warm-iterations 4 --elites 10 --deadline" labelled=600
  episode=200 held=600 unseen=50 small=
  [ $tiny = 0 ] || {
    planner="--samples 16 --iterations 1 --warm-iterations 1 --elites 4"
    labelled=4 episode=60 held=4 unseen=2 pairs=4 steps=12 small="--width 32 --depth 1 --batch 8"
  }
}

collect() {  # task name episodes steps seed -> file
  file=$1/$2.h5
  step "$file" understudy collect --task "$1" --episodes "$3" --steps "$4" --seed "$5" --out "$file" --resume
}

# Plans a row: trajectories, training, errors beside those of what it is compared with, planning.
plan_row() {  # task variant
  local name against words file flags model=$1/$2/model
  read -r name against _ words < <(variants | grep "^$2 ")
  settings "$1"
  flags="--rollout 4 --steps $steps $words"
  [[ $words != time* ]] || flags="--rollout 4 --steps 0 --minutes $size_minutes ${words#time}"
  collect "$1" train "$labelled" "$episode" 11
  step "$model" understudy finetune --data "$file" --mode scratch --success-steps 0 $flags $small --seed 1 --out "$model" --resume
  collect "$1" unseen "$unseen" "$episode" 15
  [ "$against" != - ] || against=$name
  step "$1/$2/errors" bench_accuracy "$file" 0 "$1/$against/model" "$model"
  collect "$1" held "$held" 60 13
  step "$1/$2/eval.json" understudy eval --task "$1" --model "$model" --data "$file" --protocol dinoworld \
    --episodes "$pairs" --rows model --films 0 --seed 0 $planner --json "$1/$2/eval.json" --resume
}

# A row needs the model that it is compared with.
plan() {  # task variant
  local against
  read -r _ against _ < <(variants | grep "^$2 ")
  [ "$against" = - ] || plan_row "$1" "$against"
  plan_row "$1" "$2"
}

is_done() { steps_done "$1/$2/errors" && steps_done "$1/$2/eval.json"; }

# ---- the table ----

write_table() {
  local task name against what words e
  echo "| task | | compared with | steps | next frame | five blocks | of what it is compared with | first hit | last step |"
  echo "|---|---|---|---|---|---|---|---|---|"
  for task in "${tasks[@]}"; do
    while read -r name against what words; do
      steps_plan
      plan "$task" "$name"
      is_done "$task" "$name" || continue
      e=$task/$name/eval.json
      [ "$against" != - ] || against=
      # The last line of the errors is the row's model: its name, then a number and its error each.
      read -r _ a _ ae b _ be c _ ce d _ de < <(tail -n 1 "log/$task+$name+errors.log")
      [ -n "$against" ] && ratio="$c +- $ce, $d +- $de" || ratio=
      printf '| %s | `%s`: %s | %s | %s | %s +- %s | %s +- %s | %s | %s [%s, %s] | %s |\n' "$task" "$name" "${what//_/ }" \
        "$against" "$(json "$task/$name/model/config.json" training.steps)" "$a" "$ae" "$b" "$be" "$ratio" \
        "$(percent "$(json "$e" rows.model.first_hit.rate)")" "$(percent "$(json "$e" rows.model.first_hit.low)")" \
        "$(percent "$(json "$e" rows.model.first_hit.high)")" "$(percent "$(json "$e" rows.model.last_step.rate)")"
    done < <(variants)
  done
}

# ---- running ----

names=()
for task in "${tasks[@]}"; do
  while read -r name _; do names+=("$task-$name"); done < <(variants)
done
steps_rows rollout
write_table >rollout.md.new
mv rollout.md.new rollout.md
cat rollout.md
steps_rows_end rollout
