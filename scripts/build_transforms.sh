#!/usr/bin/env bash
# Compiles the transforms of an installed SciPy without fused operations, and puts them in their place.
#
#     scripts/build_transforms.sh PYTHON SITE FOLDER
#
# PYTHON has the version of SciPy and runs pip, SITE is the folder of its packages, and FOLDER keeps the source. GCC
# fuses operations on ARM unless it is told not to. Only this module of SciPy needs it, and it takes a C++ compiler
# alone, where all of SciPy takes one for Fortran too. CXX names the compiler, and HEADERS other options for Python's
# and NumPy's headers.
set -euo pipefail

python=$1 site=$2 folder=$3
here=$(cd "$(dirname "$0")" && pwd)
version=$("$python" -c 'from importlib.metadata import version; print(version("scipy"))')
headers=${HEADERS:-$("$python" -c 'import sysconfig, numpy; print("-I" + sysconfig.get_path("include"), "-I" + numpy.get_include())')}
scipy=$("$here/unpacked_source.sh" "$python" scipy "$version" "$folder")
"$python" -m pip --quiet --disable-pip-version-check install --upgrade --target "$folder/pybind11" pybind11 2>/dev/null

built=("$site"/scipy/fft/_pocketfft/pypocketfft.*.so)
[ -e "${built[0]}" ] || { echo "$site has no transforms of SciPy. Install scipy there." >&2; exit 2; }
# The compiler writes beside the old module, and a rename replaces it: a running program keeps the one it has.
# shellcheck disable=SC2086
"${CXX:-c++}" -O3 -ffp-contract=off -DNDEBUG -shared -fPIC -std=c++17 -fvisibility=hidden -DPOCKETFFT_PTHREADS $headers \
  -I"$scipy/scipy/_lib/pocketfft" -I"$scipy/subprojects/pocketfft" -I"$scipy/scipy/_build_utils/src" \
  -I"$folder/pybind11/pybind11/include" "$scipy/scipy/fft/_pocketfft/pypocketfft.cxx" -o "${built[0]}.part" -pthread
mv "${built[0]}.part" "${built[0]}"
