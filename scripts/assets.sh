#!/usr/bin/env bash
# Makes the embedded assets anew: an encoder from frames of all tasks, and a predictor pretrained on
# film of them.
#
#   scripts/assets.sh [options] OUT     makes OUT/encoder and OUT/predictor
#     --minutes M        end after so long (120; 0: when all is done); the next run goes on from there
#     --film N           the predictor's film is so many times the encoder's frames (10)
#     --grid             OUT/grid too, an encoder of 8 x 8 tokens, in 11000 steps
#     --without TASK     leave this task out, wherever its scene is seen
#     --encoder-steps N  of what draws pictures of latents (8000)
#     --steps N          of the predictor (18000)
#     --pretrain WORDS   more options of understudy pretrain
#     --threads N        threads of each command (all); change no result
#     --device D         cpu, or cuda, cuda:N to train on a GPU
#     --take             copy what is done to assets/, from where the next build embeds it
#     --tiny             small sizes, to try the script
#
# A run that was stopped or killed goes on with the same command; OUT belongs to one run at a time.
# 30 GB, and about half an hour on two cores; the grid's encoder takes as long again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case "${1:-}" in -h | --help) sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
. "$here/steps.sh"
minutes=120 film=10 grid=0 without='' encoder_steps=8000 steps=18000 pretrain='' take=0 tiny=0 out=
while [ $# -gt 0 ]; do
  case "$1" in
    --grid) grid=1 ;;
    --take) take=1 ;;
    --tiny) tiny=1 ;;
    --minutes | --film | --without | --encoder-steps | --steps | --pretrain | --threads | --device)
      [ $# -gt 1 ] || { echo "assets: $1: expected a value" >&2; exit 2; }
      case "$1" in
        --minutes) minutes=$2 ;;
        --film) film=$2 ;;
        --without) without=$2 ;;
        --encoder-steps) encoder_steps=$2 ;;
        --steps) steps=$2 ;;
        --pretrain) pretrain=$2 ;;
        --threads) export STEPS_THREADS=$2 ;;
        --device) steps_device "$2" || exit 2 ;;
      esac
      shift ;;
    -*) echo "assets: expected an option of --help, found \"$1\"" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[ -n "$out" ] || { echo "assets: expected a folder for the results" >&2; exit 2; }
for number in "$minutes" "$film" "$encoder_steps" "$steps"; do
  [[ $number =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "assets: expected a number, found \"$number\"" >&2; exit 2; }
done

# Task, episodes, their env steps, how often its frames count for the encoder, and whether the predictor
# learns it: an env step of rope and granular is a whole push.
tasks() {
  if [ $tiny = 1 ]; then
    printf '%s\n' "pointmaze 4 60 1 yes" "wall 4 60 1 yes" "pusht 4 60 1 yes" "rope 2 4 1 no"
    return
  fi
  cat <<'TASKS'
pointmaze        250 120 1 yes
pointmaze_medium 250 120 1 yes
wall             250 120 1 yes
wall_random      250 120 1 yes
pusht            250 120 1 yes
reacher          250 120 1 yes
arm_cube         250 120 1 yes
rope             200 15  1 no
granular         200 15  1 no
TASKS
}

sizes="--linear --noise 0.01 --dim 128 --frames 200000" cells="--dim 16 --frames 200000 --grid" small= grid_steps=11000
if [ $tiny = 1 ]; then
  encoder_steps=12 steps=12 film=2 grid_steps=6
  cells="--grid --dim 16 --width 32 --depth 1 --frames 400 --shards 2 --shard-frames 4"
  sizes="${cells/--grid/--linear}" small="--width 32 --depth 1 --batch 8"
fi

[ -x "${UNDERSTUDY_BUILD:-$here/../build/release}/understudy" ] || "$here/build.sh" release >/dev/null
every=$(tasks | cut -d ' ' -f 1 | tr '\n' ' ')
if [ -n "$without" ] && [[ " $every" != *" $without "* ]]; then
  # A task whose scene another one shares is not in the list by itself.
  echo "assets: --without: expected one of ${every}found \"$without\"" >&2
  exit 2
fi
steps_begin assets "$out" "$minutes"
steps_plan
frames=() films=()
while read -r task episodes length share learns; do
  [ "$task" != "$without" ] || continue
  step "enc_$task.h5" understudy collect --task "$task" --episodes "$episodes" --steps "$length" --seed 101 --out "enc_$task.h5" --resume
  for ((i = 0; i < share; i++)); do frames+=("enc_$task.h5"); done
  [ "$learns" = yes ] || continue
  if [ "$film" = 1 ]; then
    films+=("enc_$task.h5")
  else
    films+=("film_$task.h5")
    step "film_$task.h5" understudy collect --task "$task" --episodes $((film * episodes)) --steps "$length" --seed 102 --out "film_$task.h5" --resume
  fi
done < <(tasks)
step encoder understudy encoder train --data "${frames[@]}" --out encoder --steps "$encoder_steps" $sizes --resume
step predictor understudy pretrain --data "${films[@]}" --encoder encoder --out predictor --steps "$steps" --gap 0 $small $pretrain --resume
[ $grid = 0 ] || step grid understudy encoder train --data "${frames[@]}" --out grid --steps $grid_steps $cells --resume

rc=0
steps_run assets || rc=$?
if [ $rc = 75 ]; then echo "assets: $minutes minutes are over; the same command goes on"; fi
[ $rc = 0 ] || exit $rc
printf '{"commands": [%s]}\n' "$(steps_json)" >commands.json
echo "assets: done: $out/encoder, $out/predictor"
[ $take = 1 ] || exit 0

# What is embedded, with its log, as it stands beside README.md there. The limit is that of the library.
to=${UNDERSTUDY_ASSETS:-$here/../assets}
mkdir -p "$to/encoder" "$to/predictor"
cp encoder/{config.json,model.safetensors,decoder.safetensors} "$to/encoder/"
awk 'NR % 4 == 0' encoder/log.jsonl >"$to/encoder/training.jsonl"
cp predictor/{config.json,model.safetensors} "$to/predictor/"
cp predictor/log.jsonl "$to/predictor/training.jsonl"
if [ $grid = 1 ]; then
  mkdir -p "$to/grid"
  cp grid/{config.json,model.safetensors,decoder.safetensors} "$to/grid/"
fi
du -cb "$to"/*/*.safetensors | awk 'END { if ($1 >= 12e6) { print "assets: expected less than 12 MB, found " $1 / 1e6; exit 1 } }'
