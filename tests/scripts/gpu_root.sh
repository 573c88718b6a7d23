#!/usr/bin/env bash
# gpu.sh's folder, prepared small, runs in a root that holds a base system and nothing of ours, up to
# the device that is not there: gpu_root.sh SOURCE BUILD.
set -euo pipefail
trap 'echo "line $LINENO: $BASH_COMMAND: exit $?"' ERR
source=$1 build=$2
if [ -e /dev/nvidia0 ]; then echo "there is a GPU here: run scripts/bench/gpu.sh itself"; exit 77; fi
if ! [ -e "$build/libunderstudy_cuda.so" ]; then echo "no CUDA module in this build"; exit 77; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
enter=("$(command -v chroot)")
[ "$(id -u)" = 0 ] || enter=("$(command -v unshare)" --map-root-user --mount "${enter[@]}")
root=$work/root
mkdir -p "$root"/{bin,lib,lib64,tmp,proc,dev,gpu}
"${enter[@]}" / true 2>/dev/null || { echo "no way to change the root here"; exit 77; }

BUILD=$build EPISODES=6 STEPS=4 LEVEL=1 "$source/scripts/bench/gpu.sh" prepare "$work/gpu" >"$work/log" 2>&1 || {
  tail -n 5 "$work/log"
  echo "expected a folder under 40 MiB, found: $(du -sm "$work/gpu" | cut -f1) MiB"
  exit 1
}

# The base system: a shell, what the script calls, and the C library.
for tool in bash mkdir tar mktemp ls tee tail timeout grep cat rm sed dirname; do
  path=$(command -v "$tool")
  cp -L "$path" "$root/bin/"
  ldd "$path" | grep -o '/[^ ]*' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
done
for library in libdl.so.2 librt.so.1 libpthread.so.0 libresolv.so.2 libm.so.6 libnss_files.so.2; do
  path=$(ldconfig -p | awk -v l="$library" '$1 == l && /x86-64/ && !seen++ {print $NF}')
  [ -n "$path" ] || continue
  mkdir -p "$root$(dirname "$path")"
  cp -L "$path" "$root$path"
done
cp -r "$work/gpu/." "$root/gpu/"
: >"$root/dev/null"

rc=0
env -i PATH=/bin "${enter[@]}" "$root" /bin/bash /gpu/gpu.sh /tmp/out >"$work/run" 2>&1 || rc=$?
cat "$work/run"
[ $rc = 3 ] || { echo "expected exit 3, found $rc"; exit 1; }
grep -q '^no device: bench_gpu: ' "$work/run" || { echo "expected the line \"no device: ...\""; exit 1; }
grep -q '^understudy ' "$work/run" || { echo "expected the program's version"; exit 1; }
