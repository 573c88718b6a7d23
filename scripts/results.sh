#!/usr/bin/env bash
# Makes the figures of the READMEs anew and prints the old rows and the new ones, one above the other.
#
#   scripts/results.sh [options] OUT     runs what is not done and writes OUT/results.json
#     --minutes M    end after so long (120; 0: when all is done); the next run goes on from there
#     --list         print the rows and what is done of them
#     --row NAME     make this row alone; may be repeated
#     --threads N    threads of each command (all, but one for fine-tuning); change no result
#     --device D     cpu, or cuda, cuda:N to train and plan on a GPU; rows of speed are then left out
#     --tiny         small sizes, to try the script
#
# A row of the tasks is what scripts/demo.sh does. A run that was stopped or killed goes on with the same
# command; OUT belongs to one run at a time. All rows take about 3 hours on two cores, and 30 GB.
# What needs a fresh machine (the demo's time with its installation) is not here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
case "${1:-}" in -h | --help) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
. "$here/steps.sh"
. "$here/sizes.sh"
. "$here/figures.sh"
minutes=120 list=0 tiny=0 only=() out=
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=${2:?--minutes M}; shift ;;
    --list) list=1 ;;
    --row) only+=("${2:?--row NAME}"); shift ;;
    --threads) export STEPS_THREADS=${2:?--threads N}; shift ;;
    --device) steps_device "${2:-}" || exit 2; shift ;;
    --tiny) tiny=1 ;;
    -*) echo "results: expected an option of --help, found \"$1\"" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
[ -n "$out" ] || { echo "results: expected a folder for the results" >&2; exit 2; }
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "results: --minutes: expected a number, found \"$minutes\"" >&2; exit 2; }

tasks=(pointmaze pointmaze_medium wall wall_random pusht reacher arm_reach rope granular)
[ $tiny = 0 ] || tasks=(wall)

# ---- figures ----

# The least and the largest of the numbers that come in, each by a factor: range FACTOR FORMAT.
range() {
  awk -v by="$1" -v form="$2" '{ x = by * $1; if (NR == 1 || x < low) low = x; if (NR == 1 || x > high) high = x }
    END { if (NR) { a = sprintf(form, low); b = sprintf(form, high); print a == b ? a : a " to " b } }'
}

# A number of every task's evaluation.
of_tasks() { local t; for t in "${tasks[@]}"; do json "$t/eval.json" "$1"; done; }

# ---- rows ----

# What a task's row needs, as scripts/demo.sh does it.
plan_task() {  # task
  local t=$1 small='' few='' episodes=512
  demo_sizes "$t"
  if [ $tiny = 1 ]; then
    train=4 steps=52 heldout=4 heldout_steps=60 episodes=4 small=" --steps 12 --width 32 --depth 1 --batch 8"
    few=" --samples 16 --iterations 1 --warm-iterations 1 --elites 4 --films 1 --film-size 16 --oracle-pairs 2"
  fi
  step "$t/train.h5" understudy collect --task "$t" --episodes $train --steps $steps --seed 1 --out "$t/train.h5" --resume
  step "$t/heldout.h5" understudy collect --task "$t" --episodes $heldout --steps $heldout_steps --seed 3 --out "$t/heldout.h5" --resume
  step "$t/model" understudy finetune --data "$t/train.h5" --mode scratch$small --threads 1 --out "$t/model" --resume
  step "$t/model-state" understudy finetune --data "$t/train.h5" --mode scratch --encoder state$small --threads 1 --out "$t/model-state" --resume
  step "$t/eval.json" understudy eval --task "$t" --model "$t/model" --state-model "$t/model-state" --data "$t/heldout.h5" \
    --protocol dinoworld --episodes $episodes$few --json "$t/eval.json" --resume
}

# First hit / last step of a row of a task's evaluation.
pair_of() {  # task row
  local first
  first=$(json "$1/eval.json" "rows.$2.first_hit.rate")
  [ -z "$first" ] || echo "$(percent "$first") / $(percent "$(json "$1/eval.json" "rows.$2.last_step.rate")")"
}

row_of_task() {  # task
  local e=$1/eval.json at=rows.model oracle
  oracle=$(pair_of "$1" oracle)
  [ -z "$oracle" ] || oracle+=" ($(json "$e" rows.oracle.pairs))"
  printf '| `%s` | %s | **%s** [%s, %s] / %s | %s | %s | %s |\n' "$1" "$(pair_of "$1" random)" \
    "$(percent "$(json "$e" $at.first_hit.rate)")" "$(percent "$(json "$e" $at.first_hit.low)")" \
    "$(percent "$(json "$e" $at.first_hit.high)")" "$(percent "$(json "$e" $at.last_step.rate)")" \
    "$(percent "$(json "$e" $at.hard.first_hit.rate)")" "$(pair_of "$1" state)" "$oracle"
}

# Probe of a task's held-out frames: numbers of the linear map, then of the network.
row_of_probe() {  # task
  awk -v task="$1" '/linear/ { on = 1; next } on && NF >= 3 && $NF ~ /^-?[0-9.]+$/ {
      name = $1; for (i = 2; i < NF - 1; i++) name = name " " $i
      if (name == "mean") exit
      names = names (names ? ", " : "") name; linear = linear " " $(NF - 1); mlp = mlp " " $NF }
    END { print "| `" task "` | " names " |" linear " |" mlp " |" }' "log/$1+probe.log"
}

# Rows: name, file, what the row has that others there have not.
rows() {
  local t
  for t in "${tasks[@]}"; do printf '%s\t%s\t%s\n' "$t" README.md "| \`$t\` | "; done
  [ "${STEPS_DEVICE:-cpu}" != cpu ] || printf '%s\tREADME.md\t%s\n' \
    finetune "| fine-tuning, the task's steps, one thread |" \
    episodes "| 512 episodes planned in the model |" \
    candidates "| candidate-steps a core-second |" \
    rollout "| rollout, of what OpenBLAS reaches" \
    physics "| physics steps a core-second" \
    sampling "| sampling, of a training step" \
    film "| film of 854 x 480" \
    collect "| collecting with 64 px frames" \
    memory "| largest memory of any step of the demo"
  for t in "${tasks[@]}"; do printf '%s\t%s\t%s\n' "probe-$t" worldmodel/README.md "\`$t\`"; done
}

plan_row() {  # name
  local t short=
  steps_plan
  [ $tiny = 0 ] || short=" --seconds 0.02"
  case $1 in
    finetune | episodes | candidates | memory) for t in "${tasks[@]}"; do plan_task "$t"; done ;;
    rollout | sampling) step bench.json understudy bench$short --json bench.json ;;
    physics) if [ $tiny = 1 ]; then step physics bench_physics wall; else step physics bench_physics; fi ;;
    film) step film bench_film ;;
    collect) step collect compare_collect.py --program "$UNDERSTUDY_BUILD/understudy" ;;
    probe-*)
      t=${1#probe-}
      demo_sizes "$t"
      if [ $tiny = 1 ]; then heldout=4 heldout_steps=60; fi
      step "$t/heldout.h5" understudy collect --task "$t" --episodes $heldout --steps $heldout_steps --seed 3 --out "$t/heldout.h5" --resume
      step "$t/probe" understudy encoder probe --encoder default --data "$t/heldout.h5" ;;
    *) plan_task "$1" ;;
  esac
}

# The new row of the README, from what the steps left.
new_row() {  # name
  local t text
  case $1 in
    finetune)
      text=$(for t in "${tasks[@]}"; do tail -n 2 "$t/model/log.jsonl" | sed -n 's/.*"seconds": \([0-9.]*\).*/\1/p'; done | range 0.016667 %.1f)
      echo "| fine-tuning, the task's steps, one thread | $text min | \`understudy finetune --threads 1\` |" ;;
    episodes)
      echo "| 512 episodes planned in the model | $(of_tasks rows.model.seconds | range 1 %.0f) s, $(of_tasks rows.model.seconds_per_plan | range 1000 %.0f) ms a plan | \`understudy eval\` |" ;;
    candidates) echo "| candidate-steps a core-second | $(of_tasks rows.model.candidate_steps_per_core_second | range 1 %.0f) | \`understudy eval\` |" ;;
    rollout)
      text=$(awk -v a="$(json bench.json gflops)" -v b="$(json bench.json gflops_library_alone)" 'BEGIN { printf "%.0f", 100 * a / b }')
      echo "| rollout, of what OpenBLAS reaches alone on the same shapes | $text % | \`understudy bench\` |" ;;
    sampling) echo "| sampling, of a training step | $(percent "$(json bench.json sampling_share)") % | \`understudy bench\` |" ;;
    physics)
      echo "| physics steps a core-second, of a plain loop over \`mj_step\` | $(sed -n 's/.*ratio \([0-9.]*\)$/\1/p' log/physics.log | range 1 %.2f) ($(sed -n 's/.*rollout *\([0-9]*\)\/s.*/\1/p' log/physics.log | range 1 %.0f)) | \`build/release/bench_physics\` |" ;;
    film) echo "| film of 854 x 480 (H.264, 6 Mbit/s) to 64 px, pictures a core-second | $(sed -n 's/.*, \([0-9]*\) a second of one processor.*/\1/p' log/film.log | tail -n 1) | \`build/release/bench_film\` |" ;;
    collect) echo "| collecting with 64 px frames, against a Python gymnasium-robotics loop | $(tail -n 1 log/collect.log) | \`scripts/bench/compare_collect.py\` |" ;;
    memory)
      text=$(for t in "${tasks[@]}"; do sed -n 4p steps/"$t"+*; done | sort -n | tail -n 1)
      echo "| largest memory of any step of the demo | $([ "$text" = 0 ] && echo "not measured: time(1) is missing" || echo "$((text / 1024)) MB") | \`/usr/bin/time -v\` |" ;;
    probe-*) row_of_probe "${1#probe-}" ;;
    *) row_of_task "$1" ;;
  esac
}

# Text as JSON.
quoted() { printf '"%s"' "$(sed 's/\\/\\\\/g; s/"/\\"/g' <<<"$1")"; }

# All rows, with those that are done in both forms; prints them.
write_results() {
  local name file mark old new comma= done_steps o
  {
    printf '{"rows": ['
    while IFS=$'\t' read -r name file mark; do
      plan_row "$name"
      # A star behind a name says how old the row is.
      old=$(sed -n '/^|/{s/` \* |/` |/;p}' "$root/$file" | grep -F -m 1 "$mark" || true)
      new=
      done_steps=1
      for o in "${plan_output[@]}"; do steps_done "$o" || done_steps=0; done
      if [ $done_steps = 1 ]; then
        new=$(new_row "$name")
        printf '%s\n  old  %s\n  new  %s\n' "$name" "$old" "$new" >&3
      fi
      printf '%s\n  {"name": "%s", "file": "%s",\n   "old": %s,\n   "new": %s,\n   "commands": [%s]}' "$comma" "$name" "$file" \
        "$(quoted "$old")" "$([ -n "$new" ] && quoted "$new" || echo null)" "$(steps_json)"
      comma=,
    done < <(rows)
    printf '\n]}\n'
  } 3>&1 >results.json.new
  mv results.json.new results.json
}

mapfile -t names < <(rows | cut -f 1)
for name in "${only[@]}"; do
  [[ " ${names[*]} " == *" $name "* ]] || { echo "results: --row: there is no row \"$name\" (see --list)" >&2; exit 2; }
done
[ -x "${UNDERSTUDY_BUILD:-$root/build/release}/understudy" ] || "$here/build.sh" release >/dev/null
if [ $list = 1 ]; then
  mkdir -p "$out"
  cd "$out"
  UNDERSTUDY_BUILD=$(realpath "${UNDERSTUDY_BUILD:-$root/build/release}")
  for name in "${names[@]}"; do
    plan_row "$name"
    state=done
    for o in "${plan_output[@]}"; do steps_done "$o" || state='to do'; done
    printf '%-24s %s\n' "$name" "$state"
  done
  exit 0
fi

steps_begin results "$out" "$minutes"
export PATH="$here/bench:$PATH"
failed=() over=0
for name in "${names[@]}"; do
  if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then continue; fi
  plan_row "$name"
  rc=0
  steps_run "$name" || rc=$?
  if [ $rc = 75 ]; then over=1; break; fi
  if [ $rc = 130 ]; then exit 130; fi
  [ $rc = 0 ] || failed+=("$name")
done
write_results
echo "results: $out/results.json"
[ $over = 0 ] || echo "results: $minutes minutes are over; the same command goes on"
if [ ${#failed[@]} -gt 0 ]; then
  echo "results: failed: ${failed[*]} (logs in $out/log)" >&2
  exit 1
fi
