#!/usr/bin/env bash
# Compares digests of sets, scores and decisions on an emulated 64-bit ARM with the recorded ones: `make cross-arm`.
#
#     scripts/cross_arm.sh [--wheels] [--small] [FOLDER]
#
# It makes a Debian tree for ARM in FOLDER (default: build/arm64), installs the wheels of the versions that .venv has,
# and runs the self-check and scripts/same_bytes.py in it under QEMU. PESQ, SciPy's transforms and soxr are compiled
# here without fused operations, which GCC uses on ARM unless it is told not to. With --wheels only PESQ is, and the
# self-check must refuse that machine. --small draws one clip of each set. It needs root, because it changes the root
# folder, and on Debian: apt install mmdebstrap qemu-user-static g++-aarch64-linux-gnu cmake
set -euo pipefail

own_builds=yes small=()
while [ "${1:-}" != "${1#--}" ]; do
  case $1 in
    --wheels) own_builds=no ;;
    --small) small=(--small) ;;
    *) echo "There is no option $1. See the top of $0." >&2; exit 2 ;;
  esac
  shift
done
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$(realpath -m "${1:-$root/build/arm64}")
site=$tree/opt/site
sources=$tree-sources
python_version=3.11
# shellcheck source=scripts/cross_parts.sh
source "$root/scripts/cross_parts.sh"
extension=cpython-311-aarch64-linux-gnu.so

needs mmdebstrap qemu-aarch64-static aarch64-linux-gnu-g++ cmake
inside() {
  env -i PATH=/usr/sbin:/usr/bin:/bin HOME=/tmp PYTHONPATH=/src:/opt/site NUMBA_CACHE_DIR=/tmp/numba OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 nice chroot "$tree" /usr/bin/qemu-aarch64-static /usr/bin/python3.11 "$@" \
    2> >(grep --line-buffered -v "^Can't read /proc/cpuinfo" >&2)
}

if [ ! -e "$tree/complete" ]; then
  step "1 of 5, a Debian tree for ARM in $tree"
  rm -rf "${tree:?}"
  mmdebstrap --quiet --mode=root --variant=extract --architectures=arm64 \
    --include=python3,libpython3.11-dev,libc6-dev,libstdc++6 bookworm "$tree"
  touch "$tree/complete"
fi
cp "$(command -v qemu-aarch64-static)" "$tree/usr/bin/"

step "2 of 5, the wheels of the versions that .venv has"
install_wheels manylinux_2_28_aarch64 manylinux_2_27_aarch64 manylinux2014_aarch64
headers="-I$tree/usr/include/python3.11 -I$tree/usr/include -I$site/numpy/_core/include"

step "3 of 5, builds for ARM"
pesq=$sources/pesq-in-c
translated_pesq "$pesq"
# shellcheck disable=SC2086
aarch64-linux-gnu-gcc $strict -w $headers -I"$pesq" "$pesq"/{cypesq,dsp,pesqdsp,pesqmod}.c -o "$site/pesq/cypesq.$extension" -lm

if [ "$own_builds" = yes ]; then
  CXX=aarch64-linux-gnu-g++ HEADERS=$headers "$root/scripts/build_transforms.sh" "$python" "$site" "$sources"
  soxr=$(unpacked soxr)
  nanobind=$sources/tools/nanobind
  rm -rf "$sources/libsoxr"
  cmake -S "$soxr/libsoxr" -B "$sources/libsoxr" -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_FLAGS="-ffp-contract=off -fPIC" -DBUILD_TESTS=OFF -DWITH_OPENMP=OFF -DBUILD_SHARED_LIBS=OFF \
    -DWITH_LSR_BINDINGS=OFF >/dev/null 2>&1
  make -C "$sources/libsoxr" >/dev/null
  # shellcheck disable=SC2086
  aarch64-linux-gnu-g++ $strict -std=c++17 -fvisibility=hidden -fno-strict-aliasing $headers -I"$nanobind/include" \
    -I"$nanobind/ext/robin_map/include" -I"$soxr/libsoxr/src" "$nanobind/src/nb_combined.cpp" \
    "$soxr/src/soxr_ext.cpp" "$soxr/src/csoxr_version.cpp" "$sources/libsoxr/src/libsoxr.a" \
    -o "$site/soxr/soxr_ext.$extension"
fi

step "4 of 5, the self-check under QEMU"
copy_checkout
expected="golden clips and their scores are those of every validator"
[ "$own_builds" = yes ] || expected="This machine cannot judge"
check_itself "$expected" aarch64

step "5 of 5, all digests under QEMU"
compare_digests "${small[@]}"
step "done"
