#!/usr/bin/env bash
# How many files it takes to add one of each family: applies the patches of tests/touch, one at a time,
# to a copy of the tree, builds, uses what was added, and compares the count of files with the most that
# is allowed. Takes minutes; touch.sh NAME tries one patch.
set -euo pipefail
source=$(realpath "$(dirname "$0")/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
cd "$source"
git ls-files -co --exclude-standard | while read -r f; do [ ! -f "$f" ] || echo "$f"; done |
  tar cf - -T - | tar xf - -C "$work/tree"
ln -s "$source/deps" "$work/tree/deps"
cd "$work"
understudy=$work/build/understudy

build() {
  cmake -S tree -B build -DUNDERSTUDY_TESTS=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >log 2>&1 &&
    cmake --build build --target understudy -j "$(nproc)" >log 2>&1 || { tail -n 30 log; exit 1; }
}
understudy() { "$understudy" "$@" >out 2>err || { cat out err; exit 1; }; }
fail() { echo "touch: $*"; exit 1; }
evaluate() { understudy eval --data data.h5 --episodes 4 --json eval.json --oracle-pairs 4 "$@"; }
finetune() {
  understudy finetune --data train.h5 --mode scratch --width 16 --depth 1 --heads 2 --steps 3 --batch 4 "$@"
}

# What each addition is used for.
planner_setting() {
  evaluate --rows random --calm 0.25
  grep -q '"calm":\s*0.25' eval.json || fail "no calm in the results"
  understudy eval --help
  grep -q -- '--calm=X' out || fail "no --calm in the help"
  if "$understudy" eval --data data.h5 --rows random --json no.json --calm 2 2>err; then fail "accepted"; fi
  grep -q -- '--calm' err || fail "refused without its name: $(cat err)"
}
planner() {
  evaluate --rows oracle --planner still
  grep -q '"still"' eval.json || fail "no still in the results"
}
success_rule() {
  evaluate --rows random
  grep -q '"hold_5"' eval.json || fail "no hold_5 in the results"
  understudy report --json eval.json --out report
}
command() {
  understudy hello
  grep -qx hello out || fail "said $(cat out)"
  understudy help
  grep -q 'hello *say hello' out || fail "no hello in the help"
}
task() {
  understudy collect --task drift --episodes 2 --steps 20 --seed 1 --out drift.h5
  understudy dataset verify drift.h5
}
encoder_kind() {
  finetune --encoder grey --out grey
  evaluate --model grey --rows model
  understudy inspect grey
  understudy finetune --help
  grep -q 'pca, state, grey' out || fail "no grey in the help"
}
model_kind() {
  finetune --encoder pca --out still
  mv still/predictor.safetensors still/still.safetensors
  sed -i 's/"predictor":/"kind": "still", "still":/' still/config.json
  evaluate --model still --rows model
  understudy inspect still
}

build
understudy collect --task pointmaze --episodes 6 --steps 60 --seed 1 --out train.h5
understudy collect --task pointmaze --episodes 6 --steps 60 --seed 2 --out data.h5
bad=0
while read -r name most; do
  [ "${1:-$name}" = "$name" ] || continue
  patch --quiet -p1 -d tree <"$source/tests/touch/$name.patch"
  build
  rm -rf eval.json* out err
  "$name"
  patch --quiet -R -p1 -d tree <"$source/tests/touch/$name.patch"
  count=$(grep -c '^+++ ' "$source/tests/touch/$name.patch")
  printf '%-16s %d files, at most %d\n' "$name" "$count" "$most"
  [ "$count" -le "$most" ] || bad=1
done <<'LIST'
planner_setting 1
planner 2
encoder_kind 2
success_rule 1
command 2
task 2
model_kind 2
LIST
exit $bad
