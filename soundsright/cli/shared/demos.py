"""The ground of a demo on this machine: its folder, and a private chain on which all of its keys are registered.

Times are in seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.cli.shared.programs import Programs, free_port
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.chains import HttpChain

ORGANISER = "organiser"
RULES_FILE = "rules.toml"
_MARKER = "demo.json"
_START_S = 60.0


def claim_folder(out: Path, demo: str, rules: str) -> None:
    """Make a demo's folder with its rules, or empty it if it has an earlier demo.

    Raises:
        UsageError: it has other files, or cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        present = {path.name for path in out.iterdir()}
        if present and _MARKER not in present:
            raise UsageError(f"--out {out} has files that are not a demo's", "Give an empty or new folder.")
        for path in out.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (out / _MARKER).write_text(json.dumps({"demo": demo}), encoding="utf-8")
        (out / RULES_FILE).write_text(rules, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written ({error.strerror})", "Give another folder.") from error


def started_chain(
    folder: Path, programs: Programs, validators: Sequence[str], miners: Sequence[str], *, block_s: float
) -> HttpChain:
    """Start a private chain with a block each `block_s`, and register all keys. All later programs use it.

    Raises:
        InfrastructureFault: the chain does not start.
    """
    from soundsright.adapters.chains import HttpChain
    from soundsright.adapters.peers import Hotkey

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    programs.address(ORGANISER)
    programs.set(SUBTENSOR_CHAIN_ENDPOINT=url)
    words = ["chain", "serve", "--port", str(port), "--block-every", f"{block_s:g}"]
    programs.start("chain", words, WALLET=ORGANISER)
    programs.wait(lambda: True if "Chain of" in programs.output("chain") else None, "the chain", timeout_s=_START_S)
    key = Hotkey.read(folder / "wallets" / ORGANISER / "hotkeys" / "default")
    chain = HttpChain(url, key)
    for name in validators:
        chain.register(programs.address(name), stake=1_000.0, permit=True)
    for name in miners:
        chain.register(programs.address(name))
    # A registration counts from the next block on, which on a fast machine comes after the programs start.
    chain.advance()
    registered = {programs.address(name) for name in (*validators, *miners)}
    programs.wait(
        lambda: True if registered <= {neuron.hotkey for neuron in chain.neurons()} else None,
        "the registrations",
        timeout_s=_START_S,
    )
    return chain
