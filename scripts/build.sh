#!/usr/bin/env bash
# Builds a preset (release by default; debug, asan, tsan): the program is build/<preset>/understudy.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
scripts/install.sh
cmake --preset "$preset" >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; exit 1; }
rm -f "build-$preset.log"
cmake --build --preset "$preset" -j "$(nproc)" -- --no-print-directory
