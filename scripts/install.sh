#!/usr/bin/env bash
# Installs what a build needs: Debian packages (with root or sudo) and MuJoCo 4.0.0, whose C library
# and headers are unpacked from its PyPI wheel into deps/mujoco. Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  ca-certificates gcc libc6-dev make cmake pkg-config unzip
  libopenblas-dev libhdf5-dev libcjson-dev libssl-dev libcairo2-dev libpopt-dev libzip-dev
  libegl-dev libegl1 libegl-mesa0 libgl1-mesa-dri libgl1 libcmocka-dev fonts-dejavu-core
  libglfw3-dev libgl-dev libavfilter-dev libavformat-dev libavcodec-dev libswscale-dev xvfb xdotool
  python3-dev python3-venv
)
# With UNDERSTUDY_OPTIONAL=1: what some tests run on (they are skipped without), and Blosc, under which
# older datasets lie.
optional=(clang libclang-rt-14-dev clang-format clang-tidy cppcheck g++ strace valgrind xz-utils
  hdf5-filter-plugin-blosc-serial)
# Prints which of the packages are not there.
missing() {
  for p in "$@"; do
    [ "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null)" = 'install ok installed' ] || echo "$p"
  done
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
apt_install() {
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    >/dev/null
}
mapfile -t needed < <(missing "${packages[@]}")
if [ ${#needed[@]} -gt 0 ]; then
  echo "install: apt packages: ${needed[*]}"
  apt_install "${needed[@]}"
fi
if [ "${UNDERSTUDY_OPTIONAL:-0}" = 1 ]; then
  mapfile -t needed < <(missing "${optional[@]}")
  if [ ${#needed[@]} -gt 0 ]; then
    echo "install: optional apt packages: ${needed[*]}"
    apt_install "${needed[@]}" || echo "install: some tests will be skipped"
  fi
fi

version=4.0.0
target=deps/mujoco
if [ ! -e "$target/libmujoco.so.$version" ] || [ ! -d "$target/plugin" ]; then
  echo "install: MuJoCo $version from its wheel"
  command -v pip3 >/dev/null || apt_install python3-pip
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  # mujoco-core carries the C library; every Python's wheel has the same one, so one is named here.
  pip3 download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.12 --implementation cp --abi cp312 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --dest "$folder" "mujoco-core==$version"
  echo "1cea4f32972ade944fef7a9b586272a83352bf0c6404455d7ea56d7f9edaa136  $(ls "$folder"/*.whl)" | sha256sum --check --quiet
  unzip -q "$folder"/*.whl 'mujoco/include/*' 'mujoco/plugin/*' "mujoco/libmujoco.so.$version" \
    'mujoco_core-*.dist-info/licenses/*' -d "$folder/wheel"
  mkdir -p deps
  rm -rf "$target"
  mv "$folder"/wheel/mujoco_core-*.dist-info/licenses "$folder/wheel/mujoco/licenses"
  mv "$folder/wheel/mujoco" "$target"
fi
