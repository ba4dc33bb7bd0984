"""`soundsright log append`: put a signed document into a log, and keep the proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import ANY_PATH, FOLDER, option
from soundsright.core.errors import RequestRefused, UsageError

if TYPE_CHECKING:
    from soundsright.services.log import LogEntry


@click.command("append")
@click.argument("file", metavar="FILE", type=ANY_PATH)
@option("--url", envvar="SOUNDSRIGHT_LOG", required=True, help="Address of the log.")
@option("--log", "hotkey", metavar="HOTKEY", help="Hotkey of the log. A head that another one signed is refused.")
@option("--run", type=FOLDER, help="Keep the proof as log.json in this run's folder, so that its page shows it.")
def command(*, file: Path, url: str, hotkey: str | None, run: Path | None) -> None:
    """Put a signed document into a log, and keep the proof.

    \b
    soundsright log append round.json --url http://127.0.0.1:9100 --run runs/round-7

    The proof that the log sends back is checked. Appending the same document again gives the same index.

    Exit codes: 0 the document is in the log, 2 wrong use or a document that the log does not take, 3 the log's
    answer does not prove it.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.cli.shared.addresses import checked_hotkey
    from soundsright.cli.shared.log_source import HttpLog, document_bytes
    from soundsright.services.log import append_to, write_proof

    checked_hotkey(hotkey, "--log")
    if run is not None and not run.is_dir():
        raise UsageError(f"--run {run} is not a folder", "Give the folder of a finished run.")
    source, raw = HttpLog(url), document_bytes(file)
    entry = _checked(file, raw)
    placed = append_to(source, raw, entry, valid_signature=valid_signature, hotkey=hotkey)
    proof = placed.proof
    if run is not None:
        write_proof(run, proof)
    known = "is" if placed.is_new else "was already"
    click.echo(f"{file} {known} in the log {proof.head.log}: entry {proof.index}, {proof.head}")
    if placed.others:
        numbers = ", ".join(map(str, placed.others[:5]))
        click.echo(f"Evidence: {entry.signer} signed another document for round {entry.round} (entry {numbers})")


def _checked(file: Path, raw: bytes) -> LogEntry:
    """The entry of a document of any kind, once its signature is verified here."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.log import Admission, any_signer

    try:
        return Admission(valid_signature, check_signer=any_signer).entry(raw)
    except RequestRefused as refused:
        raise UsageError(
            f"{file}: {refused.sentence}", "Give a signed document, such as the round.json of a bundle."
        ) from refused
