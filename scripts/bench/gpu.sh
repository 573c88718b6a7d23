#!/usr/bin/env bash
# Checks and measures the CUDA device on a machine that has a driver and the CUDA toolkit and nothing
# else of ours. Two parts:
#   scripts/bench/gpu.sh prepare FOLDER   here, after scripts/build.sh release: puts a copy of this
#                                         script, programs, tests, their libraries, a model and
#                                         held-out frames into FOLDER (under 40 MiB)
#   FOLDER/gpu.sh [OUT]                   there: smoke test, the tests under compute-sanitizer, the
#                                         tests, training, planning, a table; in under 6 minutes.
#                                         Writes OUT/gpu.md and logs (OUT: FOLDER/out).
#                                         UNDERSTUDY_TEST_DEVICE=cpu rehearses it without a GPU
# What is prepared: EPISODES (64, twice as many held out), STEPS (1500) of training, LEVEL (6) of xz. BUILD: build/release.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# Tests that run on the device that UNDERSTUDY_TEST_DEVICE names.
tests=(test_ops test_ops_gradients test_ops_rows test_ops_sizes test_ops_search test_ops_memory
  test_device test_golden_predictor test_golden_vit test_predictor test_imagination test_vit test_encoder test_train test_train_samples
  test_autoencoder test_cem test_cem_device test_model_env test_model_wide)
sanitized=(test_ops test_ops_gradients test_ops_search test_ops_sizes)

# ---- here ----

# The libraries that programs need and a bare machine lacks.
libraries() {
  ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*|libcuda|libcudart|libcublas|libcublasLt)\.so'
}

prepare() {
  local to=$1 root build unpacked
  root=$(cd "$here/../.." && pwd)
  build=${BUILD:-$root/build/release}
  mkdir -p "$to"
  to=$(cd "$to" && pwd)
  unpacked=$(mktemp -d)
  trap 'rm -rf "$unpacked"' RETURN
  mkdir -p "$unpacked"/{bin,lib,data,tests/worldmodel}
  # Programs and tests, which find their golden files below UNDERSTUDY_SOURCE_DIR.
  for p in understudy understudy-probe bench_gpu "${tests[@]}"; do
    cp "$build/$p" "$unpacked/bin/"
  done
  cp -r "$root/tests/worldmodel/golden" "$unpacked/tests/worldmodel/"
  # One library serves both: that of the tests exports all, and has the same name.
  cp -L "$build"/whole/libunderstudy.so.?.? "$unpacked/lib/"
  libraries "$unpacked"/bin/* "$unpacked"/lib/*.so* | grep -v /libunderstudy | xargs -r cp -L -t "$unpacked/lib"
  if [ -e "$build/libunderstudy_cuda.so" ]; then
    cp "$build/libunderstudy_cuda.so" "$unpacked/lib/"
  else
    echo "gpu.sh: $build has no libunderstudy_cuda.so: there the run will end at \"no module\""
  fi
  strip --strip-unneeded "$unpacked"/bin/* "$unpacked"/lib/*.so* 2>/dev/null || true
  # A model, and frames that it has not seen.
  local u="$build/understudy" task=pointmaze
  "$u" collect --task $task --episodes "${EPISODES:-64}" --steps 100 --seed 1 --out "$unpacked/data/train.h5"
  "$u" collect --task $task --episodes $((2 * ${EPISODES:-64})) --steps 50 --seed 2 --out "$unpacked/data/held.h5"
  "$u" finetune --data "$unpacked/data/train.h5" --steps "${STEPS:-1500}" --out "$unpacked/data/model"
  cp "$here/gpu.sh" "$to/"
  # Packed by xz, which comes along, as a bare machine may lack it.
  cp -L "$(command -v xz)" $(ldd "$(command -v xz)" | grep -o '/[^ ]*liblzma[^ ]*') "$to/"
  tar -C "$unpacked" -c . | xz -T0 "-${LEVEL:-6}" >"$to/files.tar.xz"
  du -sm "$to" | awk '{print "gpu.sh: " $2 ": " $1 " MiB"; exit $1 >= 40}'
}

# ---- there ----

out= files= failed=0
say() { echo "$*" | tee -a "$out/gpu.md"; }

# Runs a step with a limit in seconds and a log; says how it ended. The name is one word.
step() {
  local name=$1 limit=$2 start=$SECONDS rc=0
  shift 2
  timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1 || rc=$?
  if [ $rc = 0 ]; then
    echo "$name: ok, $((SECONDS - start)) s"
  else
    failed=$((failed + 1))
    say "FAILED $name: exit $rc after $((SECONDS - start)) s: $(tail -n 1 "$out/$name.log")"
  fi
  return 0
}

run() {
  out=${1:-$here/out}
  mkdir -p "$out"
  out=$(cd "$out" && pwd)
  : >"$out/gpu.md"
  files=$(mktemp -d)
  trap 'rm -rf "$files"' EXIT
  LD_LIBRARY_PATH=$here "$here/xz" -dc "$here/files.tar.xz" | tar -C "$files" -x
  # Ours come last, so that the machine's own libraries win where it has them.
  local toolkit= d
  for d in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib /usr/lib/x86_64-linux-gnu; do
    if [ -z "$toolkit" ] && ls "$d"/libcublas.so.* >/dev/null 2>&1; then toolkit=$d; fi
  done
  export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}${toolkit:+$toolkit:}$files/lib"
  export PATH="$files/bin:$PATH:/usr/local/cuda/bin"
  export UNDERSTUDY_SOURCE_DIR=$files UNDERSTUDY_CUDA=$files/lib/libunderstudy_cuda.so
  export UNDERSTUDY_PROBE=$files/bin/understudy-probe
  export UNDERSTUDY_TEST_DEVICE=${UNDERSTUDY_TEST_DEVICE:-cuda}
  cd "$files"

  # Smoke test: the program starts, and the device opens and computes.
  understudy --version | tee "$out/version.log"
  # OpenBLAS may not know a new processor; the program does, and the CPU is to be compared at its best.
  OPENBLAS_CORETYPE=$(sed -n 's/.*, kernel //p' "$out/version.log")
  export OPENBLAS_CORETYPE
  if ! bench_gpu smoke >"$out/smoke.log" 2>&1; then
    say "no device: $(tail -n 1 "$out/smoke.log")"
    exit 3
  fi
  say "$(tail -n 1 "$out/smoke.log")"
  if command -v compute-sanitizer >/dev/null; then
    local t
    for t in "${sanitized[@]}"; do
      step "memcheck-$t" 60 compute-sanitizer --tool memcheck --error-exitcode 9 "$t"
    done
    step racecheck-test_ops_gradients 60 compute-sanitizer --tool racecheck --error-exitcode 9 test_ops_gradients
  else
    say "compute-sanitizer is not there: its checks were left out"
  fi
  for t in "${tests[@]}"; do step "$t" 60 "$t"; done
  # The main jobs, and the table.
  step finetune 60 understudy finetune --device "$UNDERSTUDY_TEST_DEVICE" --data data/train.h5 \
    --steps 1000 --out "$files/model"
  step plans 90 bench_gpu plans data/model data/held.h5
  step table 120 bench_gpu table data/model data/held.h5
  step table-cpu 120 env UNDERSTUDY_TEST_DEVICE=cpu taskset -c 0,1 bench_gpu table data/model data/held.h5
  cat "$out/plans.log" "$out/table.log" "$out/table-cpu.log" | grep '^|' >>"$out/gpu.md" || true
  sed -n 's/^{"step": \([0-9]*\), "loss".*"seconds": \([0-9.]*\)}$/| fine-tuning, \1 steps | \2 s |/p' \
    "$files/model/log.jsonl" | tail -n 1 >>"$out/gpu.md" || true
  command -v nvidia-smi >/dev/null &&
    nvidia-smi --query-gpu=name,driver_version,power.limit --format=csv,noheader >>"$out/gpu.md"
  say "$failed failed step(s), $SECONDS s"
  [ "$failed" = 0 ]
}

case ${1:-} in
  prepare) prepare "${2:?gpu.sh prepare FOLDER}" ;;
  -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0" ;;
  *) run "$@" ;;
esac
