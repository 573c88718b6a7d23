#!/usr/bin/env bash
# Our Table 4: what film without actions brings where trajectories with actions are few.
#
#   scripts/table4.sh [options] OUT     runs the cells that are not done and writes OUT/table4.json,
#                                       OUT/table4.svg and OUT/table4.md
#     --minutes M    end after so long (120; 0: when all is done); the next run goes on from there
#     --list         print the cells and what is done of them
#     --cell NAME    run this cell alone; may be repeated
#     --threads N    threads of each command (all); change no result
#     --jobs N       run so many commands at a time (1), for a GPU, which one does not fill
#     --device D     cpu, or cuda, cuda:N to train and plan on a GPU
#     --take         copy table, picture and cells to assets/results/, from where the README shows them
#     --tiny         four cells in a few seconds, to try the script
#
# A run that was stopped or killed goes on with the same command; OUT belongs to one run at a time. A
# cell is a training and an evaluation of 512 pairs, meant to take at most 15 minutes on two cores; one
# that needs longer is named at the end. What cells share (trajectories, film, pretrained predictors)
# is made once. A full table takes about 12 hours on two cores, and 40 GB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case "${1:-}" in -h | --help) sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
minutes=120 jobs=1 list=0 take=0 tiny=0 only=() out=
results=$(realpath -m "${UNDERSTUDY_ASSETS:-$here/../assets}/results")
. "$here/steps.sh"
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=${2:?--minutes M}; shift ;;
    --list) list=1 ;;
    --cell) only+=("${2:?--cell NAME}"); shift ;;
    --threads) export STEPS_THREADS=${2:?--threads N}; shift ;;
    --jobs) jobs=${2:?--jobs N}; shift ;;
    --device) steps_device "${2:-}" || exit 2; shift ;;
    --take) take=1 ;;
    --tiny) tiny=1 ;;
    -*) echo "table4: expected an option of --help, found \"$1\"" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || { echo "table4: --jobs: expected a number from 1, found \"$jobs\"" >&2; exit 2; }
[ -n "$out" ] || { echo "table4: expected a folder for the results" >&2; exit 2; }
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "table4: --minutes: expected a number, found \"$minutes\"" >&2; exit 2; }

# ---- the table, the one place of its cells ----

# Columns: scratch; scratch2, with twice the steps; action-only and full, from a predictor pretrained on
# the film, frames a block apart; labels, the film's actions named by an inverse model; latent, from one
# pretrained on latent actions.
# Film: own:N trajectories of the task; POLICY:N of another of its policies; others, the other tasks
# alone, whose encoder and predictor never saw this one; embedded, the predictor in the program; -.
# Labelled: trajectories; near70, of 10, 20 and 50 the number where scratch comes nearest to 70 %; all,
# which means the paper's setup too: T = 4, 25 epochs.
# Rate: best is the best of the family rates for the column (2e-3 until it is known).
# Paper: figures of DINO-world's table 4, in the order of the columns.
table() {
  if [ $tiny = 1 ]; then
    echo "sizes pusht 4 own:1000 1 best - scratch,full,labels,latent"
    return
  fi
  cat <<'TABLE'
rates pusht            50     own:1000  9     1e-3,2e-3,4e-3 - scratch,action-only,full,labels,latent
sizes pusht            20     own:1000  1     best - scratch,scratch2,action-only,full,labels,latent
sizes pusht            50     own:1000  1     best - scratch,scratch2,action-only,full,labels,latent
sizes pusht            200    own:1000  1     best - scratch,scratch2,action-only,full,labels,latent
seeds pusht            50     own:1000  2     best - scratch,scratch2,action-only,full,labels,latent
seeds pusht            50     own:1000  3     best - scratch,scratch2,action-only,full,labels,latent
films pusht            50     others    1     best - scratch,full,labels,latent
films pusht            50     random:1000 1   best - full,labels,latent
films pusht            50     own:100   1     best - labels
films pusht            50     own:300   1     best - labels
tasks wall             10     -         1     best - scratch
tasks wall             20     -         1     best - scratch
tasks wall             50     -         1     best - scratch
tasks wall             near70 own:1000  1     best - full,labels,latent
tasks pointmaze        10     -         1     best - scratch
tasks pointmaze        20     -         1     best - scratch
tasks pointmaze        50     -         1     best - scratch
tasks pointmaze        near70 own:1000  1     best - full,labels,latent
tasks pointmaze_medium 10     -         1     best - scratch
tasks pointmaze_medium 20     -         1     best - scratch
tasks pointmaze_medium 50     -         1     best - scratch
tasks pointmaze_medium near70 own:1000  1     best - full,labels,latent
tasks reacher          10     -         1     best - scratch
tasks reacher          20     -         1     best - scratch
tasks reacher          50     -         1     best - scratch
tasks reacher          near70 own:1000  1     best - full,labels,latent
paper pusht            all    embedded  1     2e-3 46.9,49.4,59.4 scratch,action-only,full
paper wall             all    embedded  1     2e-3 87.1,91.1,93.8 scratch,action-only,full
paper pointmaze        all    embedded  1     2e-3 59.4,61.6,68.7 scratch,action-only,full
all   pointmaze_medium all    -         1     2e-3 - scratch
all   reacher          all    -         1     2e-3 - scratch
films pusht            50     own:3000  1     best - labels
TABLE
}

# A cell a line: name family task labelled film seed rate paper column.
cells() {
  local family task labelled film seed rates papers columns column rate paper name
  while read -r family task labelled film seed rates papers columns; do
    for rate in ${rates//,/ }; do
      read -ra paper <<<"${papers//,/ }"
      for column in ${columns//,/ }; do
        name=$task-$labelled-$column
        case $film in own:1000 | - | embedded) ;; *) name+=-${film/:/} ;; esac
        [ "$seed" = 1 ] || name+=-seed$seed
        [ "$family" != rates ] || name+=-rate$rate
        echo "$name $family $task $labelled $film $seed $rate ${paper[0]:--} $column"
        paper=("${paper[@]:1}")
      done
    done
  done < <(table)
}

# Settings of a task: planner, length of trajectories, how many there are; fine-tuning steps as finetune
# has them.
settings() {
  planner="--samples 64 --iterations 4 --warm-iterations 2 --elites 6" steps=18000 all=600 episode=100
  case $1 in
    pusht) planner="--samples 128 --iterations 6 --warm-iterations 4 --elites 10 --deadline" all=1200 episode=200 ;;
    reacher) planner="--samples 128 --iterations 6 --warm-iterations 4 --elites 10 --horizon 6" ;;
  esac
  film_steps=18000 held=600 pairs=512 small='' label_small=
  [ $tiny = 0 ] || {
    planner="--samples 16 --iterations 1 --warm-iterations 1 --elites 4"
    steps=40 film_steps=40 episode=52 held=4 pairs=4
    small="--width 32 --depth 1 --batch 8 --checkpoint-seconds 0.1"
    label_small="--label-steps 20 --last-steps 10"
  }
}

# ---- what cells are made of ----

trajectories() {  # task count seed policy -> file
  local policy=
  [ -z "$4" ] || policy=" --policy $4"
  file=shared/$1-$2${4:+-$4}-seed$3.h5
  step "$file" understudy collect --task "$1" --episodes "$2" --steps "$episode"$policy --seed "$3" --out "$file" --resume
}

# Seeds of what is collected: labelled 11, film 12, held-out pairs 13, those that rates are chosen by 14.
held_out() {  # task seed -> file
  file=shared/$1-held-seed$2.h5
  step "$file" understudy collect --task "$1" --episodes $held --steps 60 --seed "$2" --out "$file" --resume
}

# What a column takes from film: init, the predictor to start from, pretrained on it; file, the film;
# encoder, one that never saw the task.
film_of() {  # task film column
  local kind=${2%:*} count=${2##*:} others flags=
  init='' file='' encoder=
  [ $tiny = 0 ] || count=6
  case $2 in
    - | embedded) return ;;
    others)
      others=shared/without-$1
      step "$others" assets.sh --without "$1" --film 1 --encoder-steps 500 "$others"
      encoder="--encoder $others/encoder" init=$others/predictor file=$others/enc_arm_cube.h5
      [ "$3" = latent ] || return 0
      file=$(echo "$others"/enc_{pointmaze,pointmaze_medium,wall,wall_random,reacher,arm_cube}.h5) ;;
    *)
      case $3 in scratch*) return ;; esac
      [ "$kind" != own ] || kind=
      trajectories "$1" "$count" 12 "$kind" ;;
  esac
  case $3 in
    action-only | full) init=shared/trunk-$1-${2/:/} flags="--gap 0" ;;
    latent) init=shared/latent-$1-${2/:/} flags="--latent-actions" ;;
    *) return 0 ;;
  esac
  step "$init" understudy pretrain $flags --data $file $encoder --steps $film_steps --seed 1 $small --out "$init" --resume
}

# Plans a cell: trajectories, pretrained predictor, training, evaluation. shared=1: without the last two.
plan_cell() {  # name family task labelled film seed rate paper column
  local name=$1 family=$2 task=$3 labelled=$4 film=$5 seed=$6 rate=$7 column=$9
  # Planning asks no success head.
  local at=cells/$name data flags="--success-steps 0" pairs_seed=13
  settings "$task"
  [ "$labelled" != near70 ] || labelled=$(near70 "$task")
  [ "$rate" != best ] || rate=$(best_rate "$column")
  if [ "$labelled" = all ]; then  # the paper's setup: 25 epochs of as many samples as there are action blocks
    labelled=$all steps=$((all * episode / 5 * 25 / 64)) flags="--frames 4 --rollout 2"
  fi
  trajectories "$task" "$labelled" 11 ''
  data=$file
  film_of "$task" "$film" "$column"
  case $column in
    scratch) flags+=" --mode scratch" ;;
    scratch2) flags+=" --mode scratch" steps=$((2 * steps)) ;;
    action-only) flags+=" --mode action-only" ;;
    full)
      flags+=" --mode full"
      # What film of its own taught a trunk is kept by a lower rate; the paper has one rate for all.
      [ -z "$init" ] || flags+=" --trunk-rate 0.2" ;;
    latent) flags+=" --mode full" ;;
    labels) flags+=" --film $file $label_small" ;;
  esac
  case $column in scratch* | labels) init= ;; esac
  [ -z "$init" ] || flags+=" --init $init"
  [ "$family" != rates ] || pairs_seed=14
  held_out "$task" $pairs_seed
  [ "${shared:-0}" = 0 ] || return 0
  step "$at/model" understudy finetune --data "$data" $flags $encoder --steps $steps --rate "$rate" --seed "$seed" $small --out "$at/model" --resume
  step "$at/eval.json" understudy eval --task "$task" --model "$at/model" --data "$file" --protocol dinoworld \
    --episodes $pairs --rows model --films 0 --seed 0 $planner --json "$at/eval.json" --resume
}

# ---- choices between finished cells ----

# Rate of first hits of a cell that has been evaluated.
first_hit() {
  [ ! -e "cells/$1/eval.json" ] || awk '/"first_hit":/ { on = 1 } on && /"rate":/ { print $2 + 0; exit }' "cells/$1/eval.json"
}

# The best of the rates that a column was searched with.
best_rate() {
  local column=${1/scratch2/scratch} rate found best=0 chosen=2e-3
  for rate in 1e-3 2e-3 4e-3; do
    found=$(first_hit "pusht-50-$column-seed9-rate$rate")
    [ -n "$found" ] || { echo 2e-3; return; }
    if awk "BEGIN { exit !($found > $best) }"; then best=$found chosen=$rate; fi
  done
  echo $chosen
}

# The sizes that near70 needs scratch of: up to the first that reaches 70 %.
sizes70() {  # task
  local size found
  for size in 10 20 50; do
    echo $size
    found=$(first_hit "$1-$size-scratch")
    if [ -n "$found" ] && awk "BEGIN { exit !($found >= 0.7) }"; then return; fi
  done
}

# The size at which scratch comes nearest to 70 %; 20 until it is known.
near70() {
  local size found away least=9 chosen=20
  for size in $(sizes70 "$1"); do
    found=$(first_hit "$1-$size-scratch")
    [ -n "$found" ] || { echo 20; return; }
    away=$(awk "BEGIN { d = $found - 0.7; print d < 0 ? -d : d }")
    if awk "BEGIN { exit !($away < $least) }"; then least=$away chosen=$size; fi
  done
  echo $chosen
}

# Whether a cell is a size of scratch that near70 does not need.
beyond70() {  # name family task labelled film ...
  [ "$2" = tasks ] && [ "$5" = - ] && [[ " $(sizes70 "$3" | tr '\n' ' ')" != *" $4 "* ]]
}

# ---- what was taken before ----

# Puts the cells of the results into OUT, where they are done if their commands are those of today.
recall() {
  [ ! -e "$results/table4.tar.gz" ] || tar -xzf "$results/table4.tar.gz" --skip-old-files
}

# Takes table, picture and the evaluations of cells, each with the note of its step, to the results.
take_all() {
  local line at note
  rm -rf take
  mkdir -p take/cells take/steps
  for line in "${every[@]}"; do
    at=cells/${line%% *}
    steps_plan
    plan_cell $line
    steps_done "$at/eval.json" || continue
    cp --parents "$at/eval.json" take
    note=$(steps_note "$at/eval.json")
    # The evaluation alone is taken: its seconds are those of the cell.
    sed "3s/.*/$(steps_seconds "$at/")/" "$note" >"take/$note"
  done
  mkdir -p "$results"
  tar -C take --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - cells steps | gzip -9n >"$results/table4.tar.gz"
  cp table4.json table4.svg "$results/"
}

# ---- running ----

# The list that understudy compare reads: every cell with the commands that make it from nothing.
write_list() {
  local comma= line name family task labelled film seed rate paper column eval against ceiling row taken names seeds
  local -A evals=()
  {
    printf '{"title": "What film without actions brings (%s held-out pairs; 1000 films of the task where no others are named)", "cells": [' $pairs
    while read -r line; do
      read -r name family task labelled film seed rate paper column <<<"$line"
      ! beyond70 $line || continue
      steps_plan
      plan_cell $line
      eval=cells/$name/eval.json
      steps_done "$eval" || eval=cells/$name/not-run
      evals[$name]=$eval
      taken=$labelled
      [ "$labelled" != near70 ] || taken=$(near70 "$task")
      row="$task, $taken labelled"
      case $film in
        - | embedded | own:1000) ;;
        own:*) row+=", film ${film#own:}" ;;
        others) row+=", film of other tasks" ;;
        *) row+=", film ${film#*:} (${film%:*})" ;;
      esac
      [ "$seed" = 1 ] || row+=", seed $seed"
      # Compared with scratch of the same row, or of the same size; of the same encoder.
      against=$task-$taken-scratch
      case $film in others) against+=-others ;; esac
      [ "$seed" = 1 ] || against+=-seed$seed
      ceiling=$task-all-scratch
      printf '%s\n  {"name": "%s", "family": "%s", "row": "%s", "column": "%s", "eval": "%s", "task": "%s", "labelled": "%s", "film": "%s", "seed": %s, "rate": "%s", "seconds": %s,' \
        "$comma" "$name" "$family" "$row" "$column" "$eval" "$task" "$taken" "$film" "$seed" \
        "$([ "$rate" = best ] && best_rate "$column" || echo "$rate")" "$(steps_seconds "cells/$name/")"
      if [ "$family" = rates ]; then printf ' "hidden": true,'; fi
      if [ "$family" != rates ] && [ "$name" != "$against" ]; then
        printf ' "against": "%s",' "$against"
        if [ $tiny = 0 ] && [ "$labelled" != all ]; then printf ' "ceiling": "%s",' "$ceiling"; fi
      fi
      [ "$paper" = - ] || printf ' "paper": %s,' "$paper"
      printf '\n   "commands": [%s]}' "$(steps_json)"
      comma=,
    done < <(cells)
    # The training seeds of a row taken together; what one of them lacks, all lack.
    while read -r task labelled column names; do
      eval=
      read -ra seeds <<<"$names"
      for name in "${seeds[@]}"; do eval+="${eval:+, }\"${evals[$name]}\""; done
      printf ',\n  {"name": "%s-seeds", "family": "all seeds", "row": "%s, %s labelled, %s seeds", "column": "%s", "eval": [%s]' \
        "${seeds[0]}" "$task" "$labelled" "${#seeds[@]}" "$column" "$eval"
      [ "$column" = scratch ] || printf ', "against": "%s-%s-scratch-seeds"' "$task" "$labelled"
      printf '}'
    done < <(cells | awk '$2 == "seeds" { first = $1; sub(/-seed[0-9]+$/, "", first)
        if (!(first in row)) { order[++n] = first; row[first] = $3 " " $4 " " $9 " " first }
        row[first] = row[first] " " $1 }
      END { for (i = 1; i <= n; i++) print row[order[i]] }')
    printf '\n]}\n'
  } >cells.json.new
  mv cells.json.new cells.json
}

aggregate() {
  write_list
  understudy compare --cells cells.json --out table4.json --picture table4.svg >table4.md.new
  mv table4.md.new table4.md
}

mapfile -t every < <(cells)
for name in "${only[@]}"; do
  [[ " ${every[*]%% *} " == *" $name "* ]] || { echo "table4: --cell: there is no cell \"$name\" (see --list)" >&2; exit 2; }
done
if [ $list = 1 ]; then
  mkdir -p "$out"
  cd "$out"
  recall
  for line in "${every[@]}"; do
    steps_plan
    plan_cell $line
    state='to do'
    ! beyond70 $line || state='not needed'
    ! steps_done "cells/${line%% *}/eval.json" || state="done, $(first_hit "${line%% *}"), $(steps_time "$(steps_seconds "cells/${line%% *}/")")"
    read -r name family task labelled film seed rate paper column <<<"$line"
    printf '%-38s %-6s %-17s %-7s %-12s seed %s rate %-5s %-12s %s\n' "$name" "$family" "$task" "$labelled" "$film" "$seed" "$rate" "$column" "$state"
  done
  exit 0
fi

[ -x "${UNDERSTUDY_BUILD:-$here/../build/release}/understudy" ] || "$here/build.sh" release >/dev/null
steps_begin table4 "$out" "$minutes"
recall
failed=() over=0 number=0 took=0 finished=0
wanted() {  # a cell's line
  if beyond70 "$@"; then return 1; fi
  [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]
}

# Many at a time: first the cells that rates are chosen by, and what waits for no choice; then those
# that sizes are chosen by; then the rest.
if [ "$jobs" -gt 1 ]; then
  for wave in 1 2 3; do
    steps_plan
    for line in "${every[@]}"; do
      read -r name family task labelled film seed rate paper column <<<"$line"
      wanted $line || continue
      ! (steps_plan; shared=0; plan_cell $line; steps_done "cells/$name/eval.json") || continue
      shared=0
      if [ $wave = 1 ] && [ "$rate" = best ]; then shared=1; fi
      if [ $wave = 2 ] && [ "$labelled" = near70 ]; then shared=1; fi
      plan_cell $line
    done
    shared=0
    rc=0
    steps_run_many "$jobs" || rc=$?
    if [ $rc = 130 ]; then exit 130; fi
    if [ $rc = 75 ]; then over=1; break; fi
  done
fi
for line in "${every[@]}"; do
  name=${line%% *}
  number=$((number + 1))
  wanted $line || continue
  steps_plan
  plan_cell $line
  if ! steps_done "cells/$name/eval.json"; then
    if [ $over = 1 ]; then continue; fi
    if [ "$jobs" -gt 1 ]; then failed+=("$name"); continue; fi
    # What is left, by the mean of the cells so far.
    eta=
    [ $finished = 0 ] || eta=", $(steps_time $(((${#every[@]} - number + 1) * took / finished))) left"
    rc=0
    steps_run "[$number of ${#every[@]}$eta] $name" || rc=$?
    if [ $rc = 75 ]; then over=1; continue; fi
    if [ $rc = 130 ]; then exit 130; fi
    if [ $rc != 0 ]; then failed+=("$name"); continue; fi
    echo "[$number of ${#every[@]}] $name: first hit $(first_hit "$name")"
  fi
  seconds=$(steps_seconds "cells/$name/")
  took=$((took + seconds)) finished=$((finished + 1))
  [ "$seconds" -le 900 ] || echo "table4: $name took $(steps_time "$seconds"), more than 15 minutes: its sizes should be cut"
done
settings pusht
aggregate
echo "table4: $finished of ${#every[@]} cells are done: $out/table4.json, table4.svg, table4.md"
[ $take = 0 ] || take_all
[ $over = 0 ] || echo "table4: $minutes minutes are over; the same command goes on"
if [ ${#failed[@]} -gt 0 ]; then
  echo "table4: failed: ${failed[*]} (logs in $out/log)" >&2
  exit 1
fi
