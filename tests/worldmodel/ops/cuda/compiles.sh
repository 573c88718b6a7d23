#!/usr/bin/env bash
# compiles.sh NVCC MODULE: the module for GPUs exports one function and brings its own runtime, and
# nvcc takes the kernels of the tests, which use all of launch.h and runtime.h, without a warning.
# Exit code 77, a skip, without nvcc.
set -euo pipefail
nvcc=${1:-} module=${2:-}
cd "$(dirname "$0")/../../../.."
[ -n "$nvcc" ] || { echo "no nvcc with cuBLAS: the module for GPUs is not built"; exit 77; }
bad=0
if [ -n "$module" ]; then
  exports=$(nm -D --defined-only "$module" | awk '{ print $3 }')
  [ "$exports" = us_cuda_open ] || { echo "exported: $exports"; bad=1; }
  needs=$(readelf -d "$module" | grep NEEDED)
  grep -q libcublas <<<"$needs" || { echo "cuBLAS is not needed"; bad=1; }
  ! grep -q libcudart <<<"$needs" || { echo "the runtime is not inside"; bad=1; }
fi
for f in tests/worldmodel/ops/cuda/*_kernels.cu; do
  [[ $f != *_device_kernels.cu ]] || continue  # for nvcc the same once more
  "$nvcc" -std=c++17 -I . -arch=sm_90 -c -o /dev/null -Werror all-warnings \
    -Xcompiler=-Wall,-Wextra,-Wno-unused-parameter "$f" || { echo "nvcc refuses $f"; bad=1; }
done
exit $bad
