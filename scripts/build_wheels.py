"""Builds the packages of `pip install soundsright`: wheel and sdist, and the wheel of the shipped recordings.

    python scripts/build_wheels.py FOLDER [--no-isolation]

`soundsright` has the program, the model template and the published rules. `soundsright-data` has `datasets/`
and `models/`; the extra `demo` installs it. Both have one version. With --no-isolation the build uses the packages
of this environment and needs no network.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit("Usage: python scripts/build_wheels.py FOLDER [--no-isolation]")
    target, *options = sys.argv[1:]
    for project, kinds in ((ROOT, ()), (ROOT / "packages" / "soundsright-data", ("--wheel",))):
        words = [sys.executable, "-m", "build", "--outdir", target, *kinds, *options, str(project)]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
