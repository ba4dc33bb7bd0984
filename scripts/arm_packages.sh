#!/usr/bin/env bash
# Builds the packages from source that round differently in their wheels for 64-bit ARM: `make install-arm`.
#
#     scripts/arm_packages.sh [PYTHON]
#
# PYTHON (default: .venv/bin/python) has SoundsRight and its packages. GCC fuses multiplications and additions on ARM
# unless it is told not to, so the wheels draw other clips there than on x86. PESQ, soxr and SciPy's transforms get the
# versions that are installed, without fused operations. It needs compilers for C and C++ (on Debian: apt install g++),
# takes a few minutes, and ends with the self-check of validators.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-$root/.venv/bin/python}
sources=${TMPDIR:-/tmp}/soundsright-sources-$(id -u)
[ -x "$python" ] || { echo "There is no $python. Run: make install" >&2; exit 2; }
for program in cc c++; do
  command -v "$program" >/dev/null || { echo "There is no $program. On Debian: apt install g++" >&2; exit 2; }
done
version() { "$python" -c "from importlib.metadata import version; print(version('$1'))"; }

for name in pesq soxr; do
  echo "Building $name without fused operations"
  CFLAGS="-O3 -ffp-contract=off" CXXFLAGS="-O3 -ffp-contract=off" "$python" -m pip --quiet --disable-pip-version-check \
    install --no-binary "$name" --no-cache-dir --force-reinstall --no-deps "$name==$(version $name)"
done
echo "Building SciPy's transforms without fused operations"
site=$("$python" -c 'import pathlib, scipy; print(pathlib.Path(scipy.__file__).parents[1])')
rm -rf "$sources" && mkdir -m 700 "$sources"
trap 'rm -rf "$sources"' EXIT
"$root/scripts/build_transforms.sh" "$python" "$site" "$sources"
PYTHONPATH=$root "$python" -c '
import sys
from soundsright.core.errors import UsageError
from soundsright.services.self_check import check_machine
try:
    print(check_machine())
except UsageError as error:
    sys.exit(str(error))'
