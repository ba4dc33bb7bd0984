#!/usr/bin/env bash
# Compares digests of sets, scores and decisions under another version of the C library with the recorded ones.
#
#     scripts/cross_glibc.sh [--small] SUITE [FOLDER]
#
# SUITE is a release of Debian: bullseye has glibc 2.31, trixie 2.41. The script makes a tree of it in FOLDER (default:
# build/SUITE), installs the wheels of the versions that .venv has, builds PESQ there, and runs the self-check and
# scripts/same_bytes.py. A release whose Python is too old gets Python 3.11, built from Debian's source. It needs root,
# because it changes the root folder, and on Debian: apt install mmdebstrap
set -euo pipefail

small=()
if [ "${1:-}" = --small ]; then small=(--small); shift; fi
[ $# -ge 1 ] || { echo "Name a release of Debian. See the top of $0." >&2; exit 2; }
suite=$1
root=$(cd "$(dirname "$0")/.." && pwd)
tree=$(realpath -m "${2:-$root/build/$suite}")
site=$tree/opt/site
sources=$tree-sources
case $suite in
  bullseye) python_version=3.11 interpreter=/usr/local/bin/python3.11 ;;
  bookworm) python_version=3.11 interpreter=/usr/bin/python3.11 ;;
  trixie) python_version=3.13 interpreter=/usr/bin/python3.13 ;;
  *) echo "There is no release $suite here. Choose from bullseye, bookworm and trixie." >&2; exit 2 ;;
esac
# shellcheck source=scripts/cross_parts.sh
source "$root/scripts/cross_parts.sh"
source_of_python=http://deb.debian.org/debian/pool/main/p/python3.11/python3.11_3.11.2.orig.tar.gz
sha256_of_python=2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849

needs mmdebstrap
inside() {
  env -i PATH=/usr/sbin:/usr/bin:/bin HOME=/tmp PYTHONPATH=/src:/opt/site NUMBA_CACHE_DIR=/tmp/numba OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 nice chroot "$tree" "$interpreter" "$@"
}

if [ ! -e "$tree/complete" ]; then
  step "1 of 5, a tree of $suite in $tree"
  rm -rf "${tree:?}"
  packages=libc6-dev,gcc,libstdc++6
  if [ "$suite" = bullseye ]; then
    packages+=,make,zlib1g-dev,libffi-dev,libssl-dev,libsqlite3-dev,libbz2-dev,liblzma-dev
  else
    packages+=,python$python_version,libpython$python_version-dev
  fi
  mmdebstrap --quiet --mode=root --variant=apt --include="$packages" "$suite" "$tree"
  touch "$tree/complete"
fi
if [ ! -e "$tree$interpreter" ]; then
  step "1 of 5, Python $python_version from its source"
  mkdir -p "$tree/opt/python"
  "$python" -c 'import sys, urllib.request as u; u.urlretrieve(*sys.argv[1:])' "$source_of_python" "$tree/opt/python.tar.gz"
  echo "$sha256_of_python  $tree/opt/python.tar.gz" | sha256sum --check --quiet
  tar -xzf "$tree/opt/python.tar.gz" --strip-components 1 -C "$tree/opt/python"
  chroot "$tree" sh -c 'cd /opt/python && ./configure -q && make -s -j"$(nproc)" && make -s install' \
    >"$tree-python.log" 2>&1 || { tail -5 "$tree-python.log" >&2; exit 1; }
fi

step "2 of 5, the wheels of the versions that .venv has"
install_wheels manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux2014_x86_64

step "3 of 5, PESQ"
translated_pesq "$tree/opt/pesq"
extension=$(inside -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
include=$(inside -c 'import sysconfig; print(sysconfig.get_path("include"))')
# shellcheck disable=SC2086
chroot "$tree" sh -c "cd /opt/pesq && gcc $strict -w -I$include -I/opt/site/numpy/_core/include \
  cypesq.c dsp.c pesqdsp.c pesqmod.c -o /opt/site/pesq/cypesq$extension -lm"

step "4 of 5, the self-check"
copy_checkout
check_itself "golden clips and their scores are those of every validator" x86_64

step "5 of 5, all digests"
compare_digests "${small[@]}"
step "done"
