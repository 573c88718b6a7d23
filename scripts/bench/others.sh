#!/usr/bin/env bash
# What film of other tasks brings a task with few labelled trajectories: remedies beside each other, one
# change at a time. Encoder, trunks and labels never saw a film of the task.
#
#   scripts/bench/others.sh [options] OUT     runs what is not done and writes OUT/others.md and .json
#     --minutes M    end after so long (120; 0: when all is done); the next run goes on from there
#     --jobs N    run so many commands at a time (1), for a GPU, which one does not fill
#     --list         print the rows and what is done of them
#     --row NAME     make this row alone, VARIANT-LABELLED; may be repeated
#     --task T       the task (pusht)
#     --steps N      most fine-tuning steps (18000)
#     --film-steps N of the trunks (18000)
#     --pairs N      held-out pairs that are planned (512)
#     --seeds LIST   of training, one or several, as in 1,2,3 (1)
#     --threads N    threads of each command (all); change no result
#     --device D     cpu, or cuda, cuda:N to train and plan on a GPU
#     --tiny         small sizes, to try the script
#
# A run that was stopped or killed goes on with the same command; OUT belongs to one run at a time. All
# rows take about 6 hours on two cores.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
case "${1:-}" in -h | --help) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
. "$here/steps.sh"
minutes=120 jobs=1 list=0 tiny=0 only=() out='' task=pusht steps=18000 film_steps=18000 pairs=512 seeds=1
while [ $# -gt 0 ]; do
  case "$1" in
    --list) list=1 ;;
    --tiny) tiny=1 ;;
    --minutes | --jobs | --row | --task | --steps | --film-steps | --pairs | --seeds | --threads | --device)
      [ $# -gt 1 ] || { echo "others: $1: expected a value" >&2; exit 2; }
      case "$1" in
        --minutes) minutes=$2 ;;
        --jobs) jobs=$2 ;;
        --row) only+=("$2") ;;
        --task) task=$2 ;;
        --steps) steps=$2 ;;
        --film-steps) film_steps=$2 ;;
        --pairs) pairs=$2 ;;
        --seeds) seeds=$2 ;;
        --threads) export STEPS_THREADS=$2 ;;
        --device) steps_device "$2" || exit 2 ;;
      esac
      shift ;;
    -*) echo "others: expected an option of --help, found \"$1\"" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || { echo "others: --jobs: expected a number from 1, found \"$jobs\"" >&2; exit 2; }
[ -n "$out" ] || { echo "others: expected a folder for the results" >&2; exit 2; }
for number in "$minutes" "$steps" "$film_steps" "$pairs" ${seeds//,/ }; do
  [[ $number =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "others: expected a number, found \"$number\"" >&2; exit 2; }
done

# ---- the rows, the one place of them ----

# Name | films that a trunk is pretrained on, of all other tasks or of some, `labelled` the trajectories
# themselves, as film | options of understudy pretrain | those of finetune; --film names one of the films.
# Env steps of mazes, walls and reacher are half as long as PushT's, so that --block 10 is its pace.
variants() {
  if [ $tiny = 1 ]; then
    echo "scratch|||--mode scratch"
    echo "latent_labelled|all labelled|--latent-actions|--mode full"
    echo "labels_push|||--film wall"
    return
  fi
  cat <<'VARIANTS'
scratch|||--mode scratch
balance|||--mode scratch --balance
full|all|--gap 0|--mode full
full_slow|all|--gap 0|--mode full --trunk-rate 0.2
full_gaps|all|--gap 10|--mode full --trunk-rate 0.2
full_labelled|all labelled|--gap 0|--mode full --trunk-rate 0.2
latent|all|--latent-actions|--mode full
latent_slow|all|--latent-actions|--mode full --trunk-rate 0.2
latent_wide|all|--latent-actions --latent-dim 4 --latent-weight 3e-5|--mode full
latent_planar|pointmaze pointmaze_medium wall wall_random|--latent-actions|--mode full
latent_pace|pointmaze pointmaze_medium wall wall_random reacher|--latent-actions --block 10|--mode full
latent_push|arm_cube|--latent-actions|--mode full
latent_labelled|all labelled|--latent-actions|--mode full
labels_push|||--film arm_cube
labels_latent|all|--latent-actions|--mode full --film arm_cube
VARIANTS
}

sizes=(20 50)
others=(pointmaze pointmaze_medium wall wall_random reacher arm_cube)
planner="--samples 128 --iterations 6 --warm-iterations 4 --elites 10 --deadline"
assets='' small='' label_small='' episode=200 held=600
if [ $tiny = 1 ]; then
  task=pointmaze sizes=(4) others=(wall pusht) pairs=4 steps=12 film_steps=12 episode=60 held=4
  planner="--samples 16 --iterations 1 --warm-iterations 1 --elites 4"
  assets=--tiny small="--width 32 --depth 1 --batch 8" label_small="--label-steps 10 --last-steps 10"
fi

collect() {  # name episodes steps seed -> file
  file=$1.h5
  step "$file" understudy collect --task "$task" --episodes "$2" --steps "$3" --seed "$4" --out "$file" --resume
}

# Where a row's model and evaluation of a seed lie.
cell() { echo "cells/$1-$2$([ "$3" = 1 ] || echo "-seed$3")"; }  # variant labelled seed

# Plans a row: the encoder and the others' films, a trunk, fine-tuning, planning.
plan() {  # variant labelled
  local name films pretrain finetune file labelled f data='' init='' seed at
  IFS='|' read -r name films pretrain finetune < <(variants | grep "^$1|")
  step without assets.sh --without "$task" --film 1 --encoder-steps 500 $assets without
  collect labelled-"$2" "$2" $episode 11
  labelled=$file
  for f in $films; do
    case $f in
      all) for f in "${others[@]}"; do [ "$f" = "$task" ] || data+=" without/enc_$f.h5"; done ;;
      labelled) data+=" labelled-$2.h5" ;;
      *) data+=" without/enc_$f.h5" ;;
    esac
  done
  if [ -n "$data" ]; then
    # Trunks of the same films and options are one.
    init=trunks/$(sha256sum <<<"$data $pretrain" | cut -c 1-12)
    step "$init" understudy pretrain $pretrain --data $data --encoder without/encoder --steps "$film_steps" --seed 1 $small --out "$init" --resume
  fi
  if [[ $finetune == *"--film "* ]]; then
    finetune="${finetune/--film /--film without/enc_}.h5 $label_small"
  fi
  collect held $held 60 13
  for seed in ${seeds//,/ }; do
    at=$(cell "$1" "$2" "$seed")
    step "$at/model" understudy finetune --data "$labelled" --success-steps 0 $finetune ${init:+--init $init} --encoder without/encoder \
      --steps "$steps" --seed "$seed" $small --out "$at/model" --resume
    step "$at/eval.json" understudy eval --task "$task" --model "$at/model" --data "$file" --protocol dinoworld --episodes "$pairs" \
      --rows model --films 0 --seed 0 $planner --json "$at/eval.json" --resume
  done
}

is_done() {
  local seed
  for seed in ${seeds//,/ }; do steps_done "$(cell "$1" "$2" "$seed")/eval.json" || return 1; done
}

names=()
while IFS='|' read -r name _; do
  for size in "${sizes[@]}"; do names+=("$name-$size"); done
done < <(variants)

# The list that understudy compare reads.
write_list() {
  local name comma='' eval seed
  printf '{"title": "Film of other tasks alone (%s, %s held-out pairs)", "cells": [' "$task" "$pairs"
  for name in "${names[@]}"; do
    steps_plan
    plan "${name%-*}" "${name##*-}"
    eval='"not-run"'
    if is_done "${name%-*}" "${name##*-}"; then
      eval=
      for seed in ${seeds//,/ }; do eval+="${eval:+, }\"$(cell "${name%-*}" "${name##*-}" "$seed")/eval.json\""; done
    fi
    printf '%s\n  {"name": "%s", "family": "%s", "row": "%s labelled", "column": "%s", "eval": [%s],' \
      "$comma" "$name" "${name##*-}" "${name##*-}" "${name%-*}" "$eval"
    [[ $name == scratch-* ]] || printf ' "against": "scratch-%s",' "${name##*-}"
    printf '\n   "commands": [%s]}' "$(steps_json)"
    comma=,
  done
  printf '\n]}\n'
}

steps_rows others
write_list >cells.json
understudy compare --cells cells.json --out others.json >others.md.new
mv others.md.new others.md
cat others.md
steps_rows_end others
