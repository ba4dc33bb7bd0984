"""`soundsright replay`: compute a finished round again from its bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.bundle_source import bundle_path
from soundsright.cli.shared.options import FILE, FOLDER, corpus_option, env_file_option, grouped, option
from soundsright.cli.shared.replaying import (
    Deeper,
    Kept,
    RunChoice,
    Sampling,
    and_unchecked,
    audio_of,
    checked_deeper,
    wanted_pairs,
)
from soundsright.cli.shared.report_lines import exit_code_of, report_lines
from soundsright.cli.shared.round_bundles import check_signer
from soundsright.cli.shared.sandboxes import sandbox_options
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings
from soundsright.core.errors import UsageError, printable
from soundsright.library import SandboxChoice

if TYPE_CHECKING:
    from soundsright.services.records import RoundBundle
    from soundsright.services.replay import ReplayReport

_DEPTHS = {
    "decide": "decisions and weights, from the recorded scores. The audio was not looked at.",
    "score": "scores, decisions and weights, from the audio of the bundle. No model was run.",
    "run": "answers, scores, decisions and weights, from the models and the recordings.",
}
_DEEPER = {
    "decide": "--score computes the scores from the audio. --run also runs the models on the redrawn sets.",
    "score": "--run also fetches the models and runs them on the redrawn sets.",
}
"""The part of a round that each deeper replay adds."""
_SETTINGS = ("state_folder", "soundsright_hub", "hf_endpoint", "wallet", "hotkey", "wallet_path")


@dataclass(frozen=True)
class _Signed:
    """The signer that a bundle must have."""

    signer: str
    unsigned_ok: bool


@click.command("replay")
@click.argument("source", metavar="BUNDLE")
@option("--decide", "depth", flag_value="decide", default=True, help="Statistics, prizes and weights. The default.")
@option("--score", "depth", flag_value="score", help="Also score the audio of the bundle again.")
@option("--run", "depth", flag_value="run", help="Also fetch the models and run them on the redrawn sets.")
@grouped(
    _Signed,
    "signed",
    option("--signer", default="", help="Address that must have signed the bundle."),
    option("--unsigned-ok", is_flag=True, help="Accept a bundle that nobody signed, such as one of `compete`."),
)
@grouped(
    Sampling,
    "sampling",
    option("--sample", default=0, help="Score and run only this many results. A block draws them.", metavar="N"),
    option("--block-hash", default="", help="Hash of a block that was made after the bundle was signed."),
    option("--network", default="", help="Chain with the signer's commitment. A later block there draws --sample."),
    option("--netuid", default=0, help="Number of the subnet on a Bittensor network.", show_default=False),
)
@grouped(
    Kept,
    "kept",
    option("--checked", type=FILE, help="Write each result that was scored again to this .jsonl file."),
    option("--resume", is_flag=True, help="Continue with the results in --checked."),
)
@grouped(
    RunChoice,
    "run",
    corpus_option,
    option(
        "--work",
        type=FOLDER,
        help="Folder for what is computed. A replay that was stopped continues there. "
        "[default: one in STATE_FOLDER/replays, which is removed when the replay ends]",
    ),
)
@sandbox_options
@option(
    "--workers",
    default=0,
    show_default=False,
    type=click.IntRange(0, 1024),
    help="Processes that draw and score clips. [default: one per processor]",
)
@option(
    "--sign", "attestation", type=FILE, help="Write a signed attestation of the replay, with WALLET and HOTKEY."
)
@settings_options(Settings, _SETTINGS)
@env_file_option
def command(
    *,
    source: str,
    depth: str,
    signed: _Signed,
    sampling: Sampling,
    kept: Kept,
    run: RunChoice,
    sandbox: SandboxChoice,
    workers: int,
    attestation: Path | None,
    env_file: Path | None,
    **flags: Any,
) -> int:
    """Compute a finished round again from its bundle.

    \b
    soundsright replay round.zip                    # decisions and weights, from the scores: seconds
    soundsright replay round.zip --score            # all scores, from the audio
    soundsright replay round.zip --run              # all answers, from the models
    soundsright replay round.zip --score --sample 200 --network http://127.0.0.1:9944
    soundsright replay https://example.org/r/7/bundle --score

    A replay runs the code that decided the round, under the round's own rules. It exits with 0 if all of that depth
    is the same, with 1 if a part of it could not be checked, such as scores without audio, and with 3 at the first
    difference, which it names. It lists as unchecked what the bundle lacks or withholds. After Ctrl-C, the same
    command continues. From an address, it fetches the files and the audio that it needs into STATE_FOLDER.
    """
    from soundsright.adapters.peers import Hotkey, valid_signature
    from soundsright.services.records import check_bundle, open_bundle
    from soundsright.services.replay import ON_RECORD, decided_again
    from soundsright.services.self_check import check_machine

    _check_options(depth, sampling, kept)
    check_machine()
    settings = settings_from(Settings, flags, env_file)
    account = None if attestation is None else Hotkey.read(settings.hotkey_file)
    _check_writable(attestation)

    def needed(bundle: RoundBundle) -> Iterator[str]:
        check_signer(bundle.opened, signed.signer, unsigned_ok=signed.unsigned_ok)
        check_bundle(bundle)
        return audio_of(wanted_pairs(bundle, sampling, env_file))

    with (
        bundle_path(source, settings.folder, None if depth == "decide" else needed) as path,
        open_bundle(path, valid_signature=valid_signature) as bundle,
    ):
        check_signer(bundle.opened, signed.signer, unsigned_ok=signed.unsigned_ok)
        check_bundle(bundle)
        ended = partial(_ended, bundle, attestation, account)
        if depth == "decide":
            report = and_unchecked(decided_again(bundle), ON_RECORD)
            ended(report)
        else:
            chosen = Deeper(depth == "run", sampling, kept, run, sandbox, settings, workers, env_file)
            report = checked_deeper(bundle, chosen, ended)
    return exit_code_of(report)


def _check_options(depth: str, sampling: Sampling, kept: Kept) -> None:
    """Check that the options belong together.

    Raises:
        UsageError: one needs another.
    """
    if depth == "decide":
        for name, value in (("--sample", sampling.sample), ("--checked", kept.checked)):
            if value:
                raise UsageError(f"{name} needs --score or --run", f"Add one of them, or omit {name}.")
    blocks = [bool(sampling.block_hash), bool(sampling.network)].count(True)
    if blocks != (1 if sampling.sample else 0):
        raise UsageError(
            "--sample belongs together with either --network or --block-hash",
            "Name the chain, or the hash of a block made after the bundle was signed.",
        )
    if kept.resume and kept.checked is None:
        raise UsageError("--resume needs --checked", "Name the file of the replay that was stopped.")


def _check_writable(path: Path | None) -> None:
    """Check that a file can be written, before the hours of a replay.

    Raises:
        UsageError: it cannot.
    """
    if path is None:
        return
    existing = path if path.exists() else path.resolve().parent
    if path.is_dir() or not os.access(existing, os.W_OK) or not os.access(path.resolve().parent, os.W_OK):
        raise UsageError(f"{path} cannot be written", "Give --sign a file in a folder that you may write.")


def _ended(bundle: RoundBundle, attestation: Path | None, account: Any, report: ReplayReport) -> None:
    """Print the report, and write its attestation if one is wanted."""
    for line in _lines(bundle, report):
        click.echo(line)
    if account is not None and attestation is not None:
        _write_attestation(attestation, bundle, report, account)


def _lines(bundle: RoundBundle, report: ReplayReport) -> Iterator[str]:
    """The report, one line for each part."""
    document = bundle.document
    yield f"Round      {document.round.id}, document {bundle.opened.sha256}"
    yield f"Rules      {printable(document.ruleset.name)} {document.ruleset.digest[:12]}"
    yield f"Depth      {_DEPTHS[report.depth.value]}"
    if report.is_same and report.depth.value in _DEEPER:
        yield f"Deeper     {_DEEPER[report.depth.value]}"
    yield from report_lines(report)


def _write_attestation(path: Path, bundle: RoundBundle, report: ReplayReport, account: Any) -> None:
    from soundsright.services.records import sign_document
    from soundsright.services.replay import REPLAY, attestation_facts
    from soundsright.services.rounds import write_text

    write_text(path, sign_document(REPLAY, attestation_facts(bundle.opened, report), account) + "\n")
    click.echo(f"Signed     {path}, by {account.address}")
