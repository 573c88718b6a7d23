#!/usr/bin/env bash
# Fine-tunes and evaluates at toy size under valgrind; skipped (77) where it is not installed.
# Arguments: the program.
set -euo pipefail
command -v valgrind >/dev/null || { echo "valgrind is not installed: skipped"; exit 77; }
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
check() { valgrind -q --error-exitcode=9 "$program" "$@"; }
for seed in 1 2; do
  "$program" collect --task wall --episodes 8 --steps 40 --seed $seed --out $seed.h5 --size 16
done
check finetune --data 1.h5 --out model --mode scratch --encoder state --steps 3 --batch 32 \
  --width 32 --depth 1 --threads 1
check eval --task wall --state-model model --data 2.h5 --episodes 2 --rows state,random,oracle \
  --oracle-pairs 1 --samples 16 --iterations 1 --warm-iterations 1 --elites 4 --films 0 \
  --threads 1 --json eval.json
