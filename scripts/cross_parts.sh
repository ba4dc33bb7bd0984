# Shared parts of cross_arm.sh and cross_glibc.sh, which run same_bytes.py in a Debian tree. They read it with `source`.
#
# They set `root` to the checkout, `tree` to the tree's folder, `sources` to the folder of downloaded sources, `site` to
# the folder of the tree's packages, `python_version` to the version of the tree's Python, such as 3.11, and the function
# `inside`, which runs a command in the tree.

set -euo pipefail
trap 'echo "$0 failed in line $LINENO." >&2' ERR
python=$root/.venv/bin/python
pip="$python -m pip --quiet --disable-pip-version-check"
strict="-O3 -ffp-contract=off -DNDEBUG -shared -fPIC"

step() { echo "$(date +%H:%M:%S) $*" >&2; }
version() { "$python" -c "from importlib.metadata import version; print(version('$1'))"; }
unpacked() { "$root/scripts/unpacked_source.sh" "$python" "$1" "$(version "$1")" "$sources"; }

needs() {
  for program in "$@"; do
    command -v "$program" >/dev/null || { echo "There is no $program. See the top of $0 for what to install." >&2; exit 2; }
  done
  [ "$(id -u)" = 0 ] || { echo "Run it as root: it changes the root folder." >&2; exit 2; }
}

# The wheels of the versions that .venv has, for the tree's Python, on the platforms of the arguments.
install_wheels() {
  local wheels=() platforms=()
  for name in numpy scipy numba llvmlite soundfile soxr cffi lazy-loader platformdirs; do wheels+=("$name==$(version $name)"); done
  for platform in "$@"; do platforms+=(--platform "$platform"); done
  rm -rf "$site"
  $pip install --target "$site" --python-version "$python_version" --implementation cp --only-binary=:all: \
    "${platforms[@]}" "${wheels[@]}" 2>/dev/null
  # pip runs on this machine, so the tools that translate bindings do too.
  $pip install --upgrade --target "$sources/tools" cython nanobind 2>/dev/null
}

# PESQ in C, in the folder of the argument.
translated_pesq() {
  local pesq
  pesq=$(unpacked pesq)/pesq
  PYTHONPATH=$sources/tools "$python" -m cython -3 "$pesq/cypesq.pyx" -o "$pesq/cypesq.c"
  mkdir -p "$site/pesq" "$1" && cp "$pesq"/*.py "$site/pesq/" && cp "$pesq"/*.[ch] "$1/"
}

copy_checkout() {
  rm -rf "$tree/src" && mkdir -p "$tree/src/tests" "$tree/tmp"
  tar -C "$root" --exclude=__pycache__ -cf - soundsright scripts datasets tests/golden | tar -C "$tree/src" -xf -
}

# Check that the self-check in the tree says the words of the first argument, after the machine's name in the second.
check_itself() {
  inside -c '
import platform
from soundsright.core.errors import UsageError
from soundsright.services.self_check import check_machine
try:
    said = check_machine()
except UsageError as error:
    said = str(error)
print(f"{platform.machine()}, {platform.libc_ver()[1]}: {said}")' | tee "$tree-self-check"
  grep -q "^$2, .*: .*$1" "$tree-self-check" || { echo "The self-check should say: $1" >&2; exit 3; }
}

# Print and compare all digests. The arguments are options of same_bytes.py and cross.py.
compare_digests() {
  inside /src/scripts/same_bytes.py --bits --progress "$@" >"$tree-digests.json"
  "$python" "$root/scripts/cross.py" "$@" --compare "$tree-digests.json"
}
