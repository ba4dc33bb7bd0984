"""Shows folders of the host in a sandbox without their paths: as file systems of their own, in overlays.

A process reads in `/proc/self/mountinfo` from which folder of a file system each of its mounts comes. The folder of
an overlay is always `/`, and of its layers it tells only the names that they had when it was mounted.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from soundsright.adapters.sandboxes.exposed import has_mounts_below

_EMPTY = "empty"
_TRIAL_TIMEOUT_S = 10.0


def unnamed_mounts(folder: Path, sources: Sequence[Path]) -> tuple[list[str], list[Path]]:
    """The words to put before a command, and where the command finds each source.

    The mounts are made below `folder`, are private to the command and end with it. A source stays where it is if
    this user may not mount, or if another file system is mounted inside it, which an overlay would hide. If the
    kernel refuses an overlay, a plain mount takes its place.
    """
    words = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
    if not _runs((*words, "true")):
        return [], list(sources)
    places: list[Path] = []
    steps = ["set -e", f"cd {shlex.quote(str(folder))}"]
    (folder / _EMPTY).mkdir()
    for number, source in enumerate(sources):
        if has_mounts_below(source):
            places.append(source)
            continue
        layer, shown = f"layer{number}", f"shown{number}"
        for name in (layer, shown):
            (folder / name).mkdir()
        steps += [
            f"mount --bind {shlex.quote(str(source))} {layer}",
            f"mount -t overlay overlay -o ro,lowerdir={layer}:{_EMPTY} {shown} 2>/dev/null"
            f" || mount --bind {layer} {shown}",
        ]
        places.append(folder / shown)
    steps += ["cd /", 'exec "$@"']
    return [*words, "--propagation", "private", "sh", "-c", "\n".join(steps), "sh"], places


@functools.cache
def _runs(words: tuple[str, ...]) -> bool:
    try:
        result = subprocess.run(words, capture_output=True, timeout=_TRIAL_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0
