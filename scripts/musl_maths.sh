#!/usr/bin/env bash
# Builds the mathematical functions of musl as a library of their own, build/libm-musl.so, for `make cross`.
#
# numba has no wheel for musl, so SoundsRight does not run there as a whole. Its functions can replace those of glibc,
# which is the part that could change a number. On Debian: apt install musl-dev
set -euo pipefail

archive=$(echo /usr/lib/*-linux-musl/libc.a)
[ -e "$archive" ] || { echo "There is no libc.a of musl. On Debian: apt install musl-dev" >&2; exit 2; }
out=$(cd "$(dirname "$0")/.." && pwd)/build/libm-musl.so
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$(dirname "$out")"
cd "$folder"
ar x "$archive"
one() { for name in "$@"; do for kind in "" f; do ls "$name$kind.lo" 2>/dev/null || true; done; done; }
functions=$(one exp exp2 exp10 expm1 log log2 log10 log1p pow sin cos tan sincos asin acos atan atan2 sinh cosh tanh \
  asinh acosh atanh cbrt hypot fmod tgamma erf scalbn floor)
tables=$(ls __cos*.lo __sin*.lo __tan*.lo __rem_pio2*.lo __math_*.lo __expo2*.lo *_data.lo | grep -v l.lo)
# shellcheck disable=SC2086
gcc -shared -nostdlib -o "$out" $functions $tables
echo "$out"
