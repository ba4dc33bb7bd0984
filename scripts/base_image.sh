#!/bin/bash
# Make a container base image from this machine's Python, without a registry.
#
#   scripts/base_image.sh TAG [pip requirement…]
#
# The image contains the interpreter with its standard library, the shared libraries that they load, busybox, and the
# named packages, compiled. With FROM_ENVIRONMENT=1 the packages are copied from the environment of the interpreter
# PYTHON, without network. You need a running engine (DOCKER_HOST or the default socket), a `docker` or `podman` client
# (set CLIENT to choose one), busybox-static, and tar. It takes about 30 s. Keep the tag to use the image again.
set -euo pipefail

tag=${1:?usage: base_image.sh TAG [pip requirement…]}
shift
client=${CLIENT:-docker}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
busybox=$(command -v busybox) || { echo "busybox is not installed. Run: apt-get install busybox-static" >&2; exit 2; }
libraries=$(dirname "$(ldd "$prefix/bin/python$version" | awk '/libc\.so/ {print $3}')")
loader=$(ldd "$prefix/bin/python$version" | awk '/ld-linux/ {print $1}')

mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev,run,usr/local} "$root$libraries" "$root$(dirname "$loader")"
chmod 1777 "$root/tmp"
tar -C "$prefix" --exclude='lib/python*/site-packages/*' --exclude='lib/python*/test' \
  --exclude='lib/python*/config-*' --exclude='*.a' -c bin/python3 "bin/python$version" "lib/python$version" \
  $(cd "$prefix" && ls -d lib/libpython*.so* 2>/dev/null) | tar -C "$root/usr/local" -x
ln -sf python3 "$root/usr/local/bin/python"

packages=$root/usr/local/lib/python$version/site-packages
if [ -n "${FROM_ENVIRONMENT:-}" ]; then
  "$python" "$(dirname "$0")/copy_packages.py" "$packages" pip "$@"
else
  "$python" -m pip install -q --target "$packages" pip "$@"
fi
cat >"$root/usr/local/bin/pip" <<'PIP'
#!/bin/sh
exec python3 -m pip "$@"
PIP
chmod 755 "$root/usr/local/bin/pip"

# Copy every system library that the interpreter, its extensions or a wheel needs, and those that libc loads by name.
{ find "$root/usr/local" -type f -name '*.so*'; echo "$prefix/bin/python$version"; } | xargs ldd 2>/dev/null |
  awk '/=> \// {print $3}' | grep -v "^$prefix\|^$root" | sort -u | xargs -I{} cp -L --parents {} "$root"
for name in libpthread.so.0 librt.so.1 libdl.so.2 libutil.so.1 libresolv.so.2 libnss_files.so.2 libnss_dns.so.2 \
  libgcc_s.so.1 libstdc++.so.6 libmvec.so.1; do
  for folder in "$libraries" "/usr$libraries"; do
    if [ -e "$folder/$name" ]; then cp -L "$folder/$name" "$root$libraries/"; break; fi
  done
done
cp -L "$loader" "$root$loader"

cp "$busybox" "$root/bin/busybox"
for name in sh ls cat id sleep chmod mkdir cp mv rm touch echo env true false; do ln -sf busybox "$root/bin/$name"; done
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo /usr/local/lib >"$root/etc/ld.so.conf"
ldconfig -r "$root"

# Compile now. A container with a read-only root could not keep compiled files, and would compile on every start.
"$prefix/bin/python$version" -m compileall -q -j0 --invalidation-mode unchecked-hash -s "$root" -x 'lib2to3/tests' \
  "$root/usr/local/lib/python$version" || true
tar -C "$root" --owner=0 --group=0 --numeric-owner -c . |
  "$client" import -c 'ENV PATH=/usr/local/bin:/bin' - "$tag" >/dev/null
echo "$tag"
