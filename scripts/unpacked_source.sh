#!/usr/bin/env bash
# Downloads the source of a package, unpacks it and prints its folder.
#
#     scripts/unpacked_source.sh PYTHON NAME VERSION FOLDER
#
# pip unpacks a source before it asks for the metadata, which needs compilers that nothing else here needs. The
# source is enough.
set -euo pipefail

python=$1 name=$2 version=$3 at=$4/$2-$3
top() {
  find "$at" \( -name pyproject.toml -o -name setup.py \) -printf '%d %h\n' | sort -n | sed -n '1s/^[0-9]* //p'
}

mkdir -p "$at"
folder=$(top)
if [ -z "$folder" ]; then
  rm -rf "${at:?}"/*
  TMPDIR=$at "$python" -m pip --quiet --disable-pip-version-check download --no-clean --no-deps --no-binary :all: \
    --no-build-isolation --no-cache-dir --dest "$at" "$name==$version" >"$at/log" 2>&1 || true
  for archive in "$at"/*.tar.gz; do
    if [ -e "$archive" ]; then tar -xzf "$archive" -C "$at"; fi
  done
  folder=$(top)
fi
[ -n "$folder" ] || { tail -3 "$at/log" >&2; echo "The source of $name $version cannot be downloaded; see $at/log." >&2; exit 2; }
echo "$folder"
