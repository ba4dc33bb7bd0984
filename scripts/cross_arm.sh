#!/usr/bin/env bash
# Compares digests of sets, scores and decisions on an emulated 64-bit ARM with the recorded ones: `make cross-arm`.
#
#     scripts/cross_arm.sh [--wheels] [FOLDER]
#
# It makes a Debian tree for ARM in FOLDER (default: build/arm64), installs the wheels of the versions that .venv has,
# and runs scripts/same_bytes.py in it under QEMU. PESQ, SciPy's transforms and soxr are compiled here without fused
# operations, which GCC uses on ARM unless it is told not to; with --wheels only PESQ is. It needs root, because it
# changes the root folder, and on Debian: apt install mmdebstrap qemu-user-static g++-aarch64-linux-gnu cmake
set -euo pipefail

own_builds=yes
[ "${1:-}" = --wheels ] && { own_builds=no; shift; }
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$(realpath -m "${1:-$root/build/arm64}")
pip="$root/.venv/bin/pip --quiet --disable-pip-version-check"
site=$tree/opt/site
sources=$tree-sources
strict="-O3 -ffp-contract=off -DNDEBUG -shared -fPIC"
extension=cpython-311-aarch64-linux-gnu.so

for program in mmdebstrap qemu-aarch64-static aarch64-linux-gnu-g++ cmake; do
  command -v "$program" >/dev/null || { echo "There is no $program. See the top of $0 for what to install." >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "Run it as root: it changes the root folder." >&2; exit 2; }

version() { "$root/.venv/bin/python" -c "from importlib.metadata import version; print(version('$1'))"; }

# pip unpacks a source before it asks for the metadata, which would need a compiler for Fortran. The source is enough.
unpacked() {
  local at=$sources/$1
  if [ ! -d "$at" ]; then
    mkdir -p "$at"
    TMPDIR=$at $pip download --no-clean --no-deps --no-binary :all: --no-build-isolation --no-cache-dir \
      --dest "$at" "$1==$(version "$1")" >/dev/null 2>&1 || true
    if ls "$at"/*.tar.gz >/dev/null 2>&1; then tar -xzf "$at"/*.tar.gz -C "$at"; fi
  fi
  find "$at" -name pyproject.toml -o -name setup.py | awk '{ print length, $0 }' | sort -n | head -1 | cut -d' ' -f2- | xargs dirname
}

if [ ! -x "$tree/usr/bin/python3.11" ]; then
  mmdebstrap --quiet --mode=root --variant=extract --architectures=arm64 --include=python3,libpython3.11-dev,libc6-dev \
    bookworm "$tree"
fi
cp "$(command -v qemu-aarch64-static)" "$tree/usr/bin/"

wheels=()
for name in numpy scipy numba llvmlite soundfile soxr cffi lazy-loader platformdirs; do wheels+=("$name==$(version $name)"); done
rm -rf "$site"
$pip install --target "$site" --python-version 3.11 --implementation cp --only-binary=:all: \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
  "${wheels[@]}" 2>/dev/null
# pip runs on this machine, so the tools that translate bindings do too.
$pip install --target "$sources/tools" cython pybind11 nanobind 2>/dev/null
headers="-I$tree/usr/include/python3.11 -I$tree/usr/include -I$site/numpy/_core/include"

pesq=$(unpacked pesq)/pesq
PYTHONPATH=$sources/tools "$root/.venv/bin/python" -m cython -3 "$pesq/cypesq.pyx" -o "$pesq/cypesq.c"
mkdir -p "$site/pesq" && cp "$pesq"/*.py "$site/pesq/"
# shellcheck disable=SC2086
aarch64-linux-gnu-gcc $strict -w $headers -I"$pesq" "$pesq"/{cypesq,dsp,pesqdsp,pesqmod}.c -o "$site/pesq/cypesq.$extension" -lm

if [ "$own_builds" = yes ]; then
  scipy=$(unpacked scipy)
  # shellcheck disable=SC2086
  aarch64-linux-gnu-g++ $strict -std=c++17 -fvisibility=hidden -DPOCKETFFT_PTHREADS $headers \
    -I"$scipy/scipy/_lib/pocketfft" -I"$scipy/subprojects/pocketfft" -I"$scipy/scipy/_build_utils/src" \
    -I"$sources/tools/pybind11/include" "$scipy/scipy/fft/_pocketfft/pypocketfft.cxx" \
    -o "$site/scipy/fft/_pocketfft/pypocketfft.$extension" -pthread
  soxr=$(unpacked soxr)
  nanobind=$sources/tools/nanobind
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

rm -rf "$tree/src" && mkdir -p "$tree/src/tests" "$tree/tmp"
tar -C "$root" --exclude=__pycache__ -cf - soundsright scripts datasets tests/golden | tar -C "$tree/src" -xf -
found=$tree-digests.json
env -i PATH=/usr/sbin:/usr/bin:/bin HOME=/tmp PYTHONPATH=/src:/opt/site NUMBA_CACHE_DIR=/tmp/numba OMP_NUM_THREADS=1 \
  OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
  nice chroot "$tree" /usr/bin/qemu-aarch64-static /usr/bin/python3.11 /src/scripts/same_bytes.py --bits >"$found" 2>"$found.log" \
  || { tail -5 "$found.log" >&2; exit 1; }
"$root/.venv/bin/python" "$root/scripts/cross.py" --compare "$found"
