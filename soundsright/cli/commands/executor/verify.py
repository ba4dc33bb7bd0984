"""`soundsright executor verify`: check the signed results of an executor's round, and compute them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.addresses import checked_hotkey
from soundsright.cli.shared.options import option
from soundsright.core.errors import PeerUnavailable, RequestRefused, UsageError, printable

if TYPE_CHECKING:
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.services.executor import Comparison, RoundResults

_URLS = ("http://", "https://")
_TIMEOUT_S = 60.0
_REMEDY = "Give the answer of /results/ROUND of an executor, as a file or its address."


@click.command("verify")
@click.argument("file", metavar="FILE|URL")
@click.argument("other", metavar="[OTHER]", required=False)
@option("--signer", metavar="HOTKEY", help="Hotkey of the executor. Results that another one signed differ.")
@option("--ruleset", help="The organiser's TOML file. [default: the shipped ruleset that the results name]")
@click.pass_context
def command(context: click.Context, file: str, other: str | None, signer: str | None, ruleset: str | None) -> None:
    """Check the signed results of a round, and compute them again.

    \b
    soundsright executor verify round-7.json
    soundsright executor verify http://127.0.0.1:9000/results/round-7 --ruleset competition.toml
    soundsright executor verify round-7.json round-7-of-another.json

    It checks the signature, and computes quality, factor, score, order and first place from the scores of the
    clips. It says which recordings the round used, by the executor's word, and whether validators pay on them by
    default. With OTHER, the results of another executor in the same round, it also compares both: qualities must
    agree to 1e-6, and times are shown in units of the reference that each executor times beside every image.

    Exit codes: 0 all is as it should be, 1 something differs and is named, 2 wrong use or unreadable results.
    """
    checked_hotkey(signer, "--signer")
    organiser = None if ruleset is None else _organiser(ruleset)
    sources = [file] if other is None else [file, other]
    problems: list[str] = []
    opened = []
    for source in sources:
        results, found = _checked(source, signer, organiser)
        problems += [f"{source}: {sentence}" for sentence in found]
        opened.append(results)
    if len(opened) == 2 and opened[0] is not None and opened[1] is not None:
        comparison = _compared(opened[0], opened[1], problems)
        if comparison is not None:
            _print_comparison(comparison)
            problems += comparison.differences
    for problem in problems:
        click.echo(printable(problem))
    if problems:
        click.echo(f"{len(problems)} difference{'s' if len(problems) > 1 else ''}")
        context.exit(1)


def _checked(
    source: str, signer: str | None, organiser: CompetitionRules | None
) -> tuple[RoundResults | None, list[str]]:
    """The results at a source, and a sentence for each difference. None if they cannot be computed.

    Raises:
        UsageError: there are no results that can be read.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.executor import differences_from_rules, open_results, recomputed
    from soundsright.services.records import material_sentence, round_material

    raw = _from_url(source) if source.startswith(_URLS) else _from_file(Path(source).expanduser())
    try:
        ruleset = None if organiser is None else organiser.ruleset
        results = open_results(raw, valid_signature=valid_signature, ruleset=ruleset)
    except RequestRefused as refused:
        if refused.code == "bad_signature":
            return None, [refused.sentence]
        raise UsageError(f"{source}: {refused.sentence}", _REMEDY) from refused
    found = [] if organiser is None else list(differences_from_rules(results, organiser))
    if signer is not None and results.signer != signer:
        found.append(f"{results.signer} signed the results, and not {signer}")
    try:
        again = recomputed(results)
    except ValueError as error:
        return None, [*found, f"the results cannot be computed again ({str(error)[:200]})"]
    winner = next((row for row in again.rows if row.is_winner_candidate), None)
    first = "no image can be paid" if winner is None else f"{winner.submission.hotkey} is first"
    about = f"round {results.round_id}, {results.challenge.competition_id}, {len(again.rows)} images"
    click.echo(printable(f"{source}: signed by {results.signer}; {about}; computed again, {first}"))
    stated = None if results.material is None else round_material(results.material.facts())
    click.echo(printable(f"{source}: material: {material_sentence(stated)}"))
    return results, found + list(again.differences)


def _compared(first: RoundResults, second: RoundResults, problems: list[str]) -> Comparison | None:
    from soundsright.services.executor import compared

    try:
        return compared(first, second)
    except ValueError as error:
        problems.append(f"the results cannot be compared ({str(error)[:200]})")
        return None


def _print_comparison(comparison: Comparison) -> None:
    for sentence in comparison.lone:
        click.echo(printable(f"Note: {sentence}"))
    for time in comparison.times:
        first, second = time.times_s
        line = f"{time.hotkey}: a run takes {first:.3f} s and {second:.3f} s"
        if time.ratio is None:
            line += "; one of them has no time of the reference, so they cannot be compared"
        else:
            line += f"; in units of the reference, the second takes {time.ratio:.3f} times the first"
        click.echo(printable(line))


def _organiser(ruleset: str) -> CompetitionRules:
    from soundsright.library import organiser_of

    return organiser_of(ruleset, begun=True)


def _from_file(path: Path) -> bytes:
    from soundsright.services.records import MAX_ENVELOPE_BYTES

    try:
        with path.open("rb") as stream:
            return stream.read(MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _REMEDY) from error


def _from_url(url: str) -> bytes:
    """The results at an address. An executor that does not answer is no difference, so the exit code is 2."""
    from urllib.parse import urlsplit

    from soundsright.adapters.peers import request
    from soundsright.services.records import MAX_ENVELOPE_BYTES

    try:
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        if not parts.path.startswith("/results/") or parts.username or parts.query or parts.fragment:
            raise UsageError(f"{url} is not the address of a round's results", _REMEDY)
        reply = request(server, "GET", parts.path, timeout_s=_TIMEOUT_S, max_bytes=MAX_ENVELOPE_BYTES)
    except PeerUnavailable as error:
        raise UsageError(error.problem, error.remedy) from error
    except ValueError as error:
        raise UsageError(f"{url} is not an address", _REMEDY) from error
    if reply.status != 200:
        raise UsageError(f"{url} answered {reply.status}", _REMEDY)
    return reply.body
