#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs each for a time: run.sh SOURCE BUILD [SECONDS]. Exit
# code 77, a skip, where clang or its fuzzer library is missing.
set -euo pipefail
source=$1 build=$2 seconds=${3:-20}
clang=$(command -v clang || command -v clang-14 || true)
if [ -z "$clang" ] || ! command -v python3 >/dev/null; then echo "no clang or python3"; exit 77; fi
mkdir -p "$build"
printf 'int LLVMFuzzerTestOneInput(const void* d, unsigned long n) { return 0; }' >"$build/probe.c"
if ! "$clang" -fsanitize=fuzzer,address "$build/probe.c" -o "$build/probe" 2>/dev/null; then
  echo "clang has no libFuzzer"; exit 77
fi
cmake -S "$source" -B "$build" -DCMAKE_C_COMPILER="$clang" -DUNDERSTUDY_FUZZ=ON \
  -DUNDERSTUDY_TESTS=OFF >/dev/null
cmake --build "$build" --target fuzz_safetensors fuzz_json -j "$(nproc)" >/dev/null
python3 "$source/tests/fuzz/seeds.py" "$build/seeds"
cd "$build"
for name in safetensors json; do
  mkdir -p "corpus/$name"
  echo "fuzz_$name"
  "./fuzz_$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=4096 \
    -print_final_stats=1 -verbosity=0 "corpus/$name" "seeds/$name" 2>&1 |
    grep -E "stat::number_of_executed|ERROR|SUMMARY|assertion|Test unit" || true
  test "${PIPESTATUS[0]}" = 0
done
