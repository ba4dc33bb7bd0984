"""Compares digests of sets, scores and decisions with the recorded ones, under other processors' instructions.

    python scripts/cross.py [--small] [--compare FILE] [VARIANT ...]

Libraries choose their code by the processor, and environment variables limit the choice. Each variant runs
`scripts/same_bytes.py` in a process with such limits, and the table counts what differs from
`tests/golden/same_bytes.json`. Without a name, all variants run that this processor can. The exit code is 3 if
anything differs. The last column counts the values that differ before rounding; these are allowed. `--compare`
reads what `same_bytes.py --bits` has printed on another machine, and runs only the default here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "same_bytes.json"
MUSL = ROOT / "build" / "libm-musl.so"
"""musl's mathematical functions, if `scripts/musl_maths.sh` has built them."""
BY_NAME = ("libm-musl",)
"""Variants that are known to differ. They run only by name."""
PARTS = ("wav", "noise", "scores", "measures", "decisions")

Digests = Mapping[str, Mapping[str, Any]]

GLIBC = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-FMA,-FMA4"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
TWO_THREADS = dict.fromkeys(ONE_THREAD, "2")


@dataclass(frozen=True)
class Variant:
    """One way to run: its name, what differs from the default in words, and its environment variables."""

    name: str
    what: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """The names of what differs in a part, and the number of values that were compared."""

    names: tuple[str, ...]
    compared: int

    def __str__(self) -> str:
        return f"{len(self.names)} of {self.compared}"


def numpy_features() -> tuple[str, ...]:
    """The groups of instructions that NumPy uses here beyond its baseline, from old to new."""
    numpy = importlib.import_module("numpy._core._multiarray_umath")
    return tuple(name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name])


def variants() -> tuple[Variant, ...]:
    """The variants that this processor and system can run; the first is the default."""
    found = [
        Variant("default", "everything that the processor has", {}),
        Variant("threads", "two threads", TWO_THREADS),
    ]
    present = numpy_features()
    newest = [name for name in present if name.startswith("AVX512") or name == "X86_V4"]
    if newest and len(newest) < len(present):
        found.append(Variant("numpy-avx2", "NumPy without AVX-512", {"NPY_DISABLE_CPU_FEATURES": " ".join(newest)}))
    if present:
        found.append(Variant("numpy-plain", "NumPy's baseline", {"NPY_DISABLE_CPU_FEATURES": " ".join(present)}))
    if platform.machine() == "x86_64":
        for kernel in (
            "Prescott",
            "Nehalem",
            "Sandybridge",
            *(["Haswell"] if present else []),
            *(["SkylakeX"] if newest else []),
        ):
            found.append(Variant(f"blas-{kernel.lower()}", f"OpenBLAS for {kernel}", {"OPENBLAS_CORETYPE": kernel}))
        numba = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
        found.append(Variant("numba-plain", "numba for the plainest processor", numba))
        if platform.libc_ver()[0] == "glibc":
            libm = {"GLIBC_TUNABLES": GLIBC}
            found.append(Variant("libm-plain", "glibc's functions without AVX2 and fused operations", libm))
            plain = libm | {"OPENBLAS_CORETYPE": "Prescott"}
            if present:
                plain["NPY_DISABLE_CPU_FEATURES"] = " ".join(present)
            found.append(Variant("plain", "NumPy, OpenBLAS and glibc for a processor with SSE only", plain))
            if MUSL.exists():
                found.append(Variant("libm-musl", "musl's mathematical functions", {"LD_PRELOAD": str(MUSL)}))
    return tuple(found)


def digests_under(variant: Variant, *, small: bool) -> dict[str, dict[str, Any]]:
    """The digests that `same_bytes.py` prints under the variant.

    Raises:
        subprocess.CalledProcessError: the script failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        own_cache = {"NUMBA_CACHE_DIR": folder} if "NUMBA_CPU_NAME" in variant.environment else {}
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "same_bytes.py"), "--bits", *(["--small"] if small else [])],
            env=os.environ | ONE_THREAD | dict(variant.environment) | own_cache,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return dict(json.loads(done.stdout))


def differences(found: Digests, recorded: Digests, parts: Iterable[str] = PARTS) -> dict[str, Difference]:
    """By part, what differs from the record or is not in it."""
    result = {}
    for part in parts:
        names = tuple(name for name, value in found[part].items() if recorded[part].get(name) != value)
        result[part] = Difference(names, len(found[part]))
    return result


def row(variant: str, what: str, by_part: Mapping[str, Difference]) -> str:
    """One line of the table."""
    return f"| {variant} | {what} | {' | '.join(str(each) for each in by_part.values())} |"


COLUMNS = ("WAV files", "noises", "scores of drawn clips", "scores of given clips", "decisions", "before rounding")
HEAD = "\n".join((f"| variant | runs with | {' | '.join(COLUMNS)} |", f"| --- | --- |{' ---: |' * len(COLUMNS)}"))


def main() -> None:
    known = {each.name: each for each in variants()}
    parser = argparse.ArgumentParser(description="Compare digests under other processors' instructions.")
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"one of {', '.join(known)}")
    parser.add_argument("--small", action="store_true", help="draw one clip of each set, and skip drawn scores")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="digests of another machine")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.variants if name not in known]
    if unknown:
        parser.error(f"this machine has no variant {unknown[0]!r}; choose from {', '.join(known)}")
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))
    here = digests_under(known["default"], small=chosen.small)
    print(HEAD, flush=True)
    first = ""
    if chosen.compare is not None:
        found = json.loads(chosen.compare.read_text(encoding="utf-8"))
        first = _printed(chosen.compare.stem, "another machine", found, recorded, here)
    else:
        for name in chosen.variants or [name for name in known if name not in BY_NAME]:
            found = here if name == "default" else digests_under(known[name], small=chosen.small)
            first = _printed(name, known[name].what, found, recorded, here) or first
    if first:
        print(f"Something differs, such as {first}.", file=sys.stderr)
        sys.exit(3)


def _printed(name: str, what: str, found: Digests, recorded: Digests, here: Digests) -> str:
    """Print the variant's line. Returns the name of its first difference, empty if there is none."""
    by_part = differences(found, recorded)
    print(row(name, what, by_part | differences(found, here, ["bits"])), flush=True)
    return next((f"{name}: {part} {each.names[0]}" for part, each in by_part.items() if each.names), "")


if __name__ == "__main__":
    main()
