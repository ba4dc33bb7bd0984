"""`soundsright log append`: put a signed document into a log, and keep the proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import ANY_PATH, FOLDER, option
from soundsright.core.errors import InfrastructureFault, LogRefused, RequestRefused, UsageError, printable

if TYPE_CHECKING:
    from soundsright.cli.shared.log_source import HttpLog
    from soundsright.core.ports import Reply
    from soundsright.services.log import LogEntry, SavedProof

_MAX_REPLY = 100_000
_MAX_ENTRY_REPLY = 13_000_000


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
    from soundsright.cli.shared.addresses import checked_hotkey
    from soundsright.cli.shared.log_source import HttpLog, document_bytes
    from soundsright.services.log import write_proof

    checked_hotkey(hotkey, "--log")
    if run is not None and not run.is_dir():
        raise UsageError(f"--run {run} is not a folder", "Give the folder of a finished run.")
    source, raw = HttpLog(url), document_bytes(file)
    entry = _checked(file, raw)
    answer = _answer(source, source.send("POST", "/entries", body=raw, max_bytes=_MAX_REPLY))
    proof = _proof(source, entry, answer, hotkey)
    if run is not None:
        write_proof(run, proof)
    known = "is" if answer.get("is_new") is True else "was already"
    click.echo(f"{file} {known} in the log {proof.head.log}: entry {proof.index}, {proof.head}")
    others = answer.get("others")
    if isinstance(others, list) and others:
        numbers = ", ".join(str(each) for each in others[:5] if type(each) is int)
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


def _answer(source: HttpLog, reply: Reply) -> dict[str, Any]:
    """The answer to an append.

    Raises:
        UsageError: the log does not take the document.
        InfrastructureFault: the log cannot answer now.
        LogRefused: the answer is not a log's.
    """
    from soundsright.core.strict_json import NotStrictJson, strict_json

    try:
        answer = strict_json(reply.body)
    except NotStrictJson as error:
        raise LogRefused(f"{source.name} sent no log's answer ({error.fault})") from None
    if not isinstance(answer, dict):
        raise LogRefused(f"{source.name} sent no log's answer")
    if reply.status in (200, 201):
        return answer
    sentence = printable(str(answer.get("sentence", ""))[:300]) or f"it answered {reply.status}"
    if reply.status in (429, 503):
        raise InfrastructureFault(f"{source.name}: {sentence}", "Append it again: the index stays the same.")
    raise UsageError(f"{source.name} does not take the document: {sentence}", "Ask whoever keeps the log.")


def _proof(source: HttpLog, entry: LogEntry, answer: dict[str, Any], hotkey: str | None) -> SavedProof:
    """The proof in an answer, computed again. The log may have the document with an earlier signature."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.core.canonical import canonical_json
    from soundsright.core.strict_json import NotStrictJson, strict_json
    from soundsright.services.log import hashes_of, open_entry, open_head, proof_of

    head = open_head(canonical_json(answer.get("head")).encode(), valid_signature=valid_signature)
    if hotkey is not None and head.log != hotkey:
        raise LogRefused(f"{source.name} gave the head of another log, {head.log}, and not of {hotkey}")
    index = answer.get("index")
    if type(index) is not int or not 0 <= index < head.size:
        raise LogRefused(f"{source.name} gave an index that its head does not have")
    try:
        page = strict_json(source.get(f"/entries?start={index}&end={index + 1}", _MAX_ENTRY_REPLY))
        (value,) = page["entries"]
    except (NotStrictJson, TypeError, KeyError, ValueError):
        raise LogRefused(f"{source.name} does not give its entry {index}") from None
    stored = open_entry(value, index, valid_signature=valid_signature)
    if stored.key != entry.key:
        raise LogRefused(f"{source.name} has another document at {index}")
    return proof_of(source.name, stored, index, hashes_of(answer, source.name), head)
