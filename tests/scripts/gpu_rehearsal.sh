#!/usr/bin/env bash
# gpu.sh from one end to the other, with the CPU in the GPU's place: gpu_rehearsal.sh SOURCE BUILD.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
BUILD=$2 STEPS=100 LEVEL=1 "$1/scripts/bench/gpu.sh" prepare "$work/gpu" >"$work/log" 2>&1 || {
  tail -n 5 "$work/log"
  exit 1
}
UNDERSTUDY_TEST_DEVICE=cpu "$work/gpu/gpu.sh" "$work/out"
for row in 'plans of 512 pairs' '512 slots' 'ViT-S/14' 'fine-tuning, 1000 steps'; do
  grep -q "^|.*$row" "$work/out/gpu.md" || { echo "expected a row of \"$row\""; exit 1; }
done
