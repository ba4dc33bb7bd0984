"""`soundsright corpus`: private corpora, whose recordings are published when they retire."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.corpus_options import (
    RecordingOptions,
    corpus_argument,
    json_option,
    key_of_folder,
    key_option,
    known_recordings,
    new_recordings,
    recording_options,
    speaking_folder,
)
from soundsright.cli.shared.options import FILE, FOLDER, env_file_option, grouped, option, ruleset_option
from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.corpus import BuildReport, Check, PrivateCorpus

_FRESH = click.IntRange(1, 100_000)
_ROUND = click.IntRange(0, 1_000_000_000)


@click.group("corpus")
def command() -> None:
    """Keep a private corpus: recordings that nobody knows until they retire.

    \b
    soundsright corpus build corpora/private --speak espeak-ng --count 500 --make-noise 50
    soundsright corpus status corpora/private

    Each round uses some of the recordings. After a set number of rounds a recording retires and can be published
    with a proof that it was in the corpus.
    """


@command.command("build")
@corpus_argument
@key_option
@option("--uses", default=5, type=click.IntRange(1, 100), help="Rounds for which a recording lives.")
@option(
    "--fresh", type=_FRESH, help="Fresh recordings of speech in each round, for each band. [default: 20, or fewer]"
)
@option("--first-round", default=0, type=_ROUND, show_default=True, help="Number of the corpus' first round.")
@grouped(RecordingOptions, "chosen", *recording_options)
def build(
    folder: Path, key_file: Path | None, uses: int, fresh: int | None, first_round: int, chosen: RecordingOptions
) -> None:
    """Build a private corpus in the new folder FOLDER.

    \b
    soundsright corpus build corpora/private --speak espeak-ng --count 500 --make-noise 50
    soundsright corpus build corpora/private --speech studio --noise street --licence CC-BY-4.0 --source "Our own"

    The recordings are encrypted with a key, which is made if its file does not exist. Keep a copy of the key in a
    safe place: without it the corpus is lost.
    """
    from soundsright.corpus import Plan, build_corpus, check_new_folder, key_of

    check_new_folder(folder)
    key_path = key_of_folder(folder, key_file)
    is_new_key = not key_path.exists()
    plan = Plan(uses=uses, fresh=fresh, first_round=first_round, skip_known=chosen.skip_known)
    try:
        with (
            new_recordings(chosen, key_of(key_path), folder, 0, least=uses) as found,
            ProgressLine("encrypting {done} of {total}, {left} left") as progress,
        ):
            report = build_corpus(
                folder, key_path, found.usable, plan=plan, known=known_recordings(chosen), progress=progress
            )
    except UsageError:
        if is_new_key and not speaking_folder(folder).exists():
            key_path.unlink(missing_ok=True)  # Nothing was made with it.
        raise
    _say_built(report, found.skipped, chosen)
    click.echo(f"The key is in {key_path}. Keep a copy of it in a safe place.")


@command.command("add")
@corpus_argument
@key_option
@option(
    "--fresh", type=_FRESH, help="Fresh recordings of speech in each round, for each band. [default: as before]"
)
@grouped(RecordingOptions, "chosen", *recording_options)
def add(folder: Path, key_file: Path | None, fresh: int | None, chosen: RecordingOptions) -> None:
    """Add recordings to the private corpus FOLDER. They are used after those that it has.

    \b
    soundsright corpus add corpora/private --speak espeak-ng --count 500 --make-noise 50

    The corpus gets a new root. Recordings that it had keep their rounds.
    """
    from soundsright.corpus import add_to_corpus

    corpus = _opened(folder, key_file)
    number = len(corpus.statement.batches)
    with (
        new_recordings(chosen, corpus.key, folder, number, least=1) as found,
        ProgressLine("encrypting {done} of {total}, {left} left") as progress,
    ):
        report = add_to_corpus(
            corpus,
            found.usable,
            fresh=fresh,
            skip_known=chosen.skip_known,
            known=known_recordings(chosen),
            progress=progress,
        )
    _say_built(report, found.skipped, chosen)


@command.command("status")
@corpus_argument
@key_option
@option("--round", "number", type=_ROUND, help="Number of the round. [default: the corpus' first round]")
@option("--recording", help="Show only the life of the recording with this id.")
@json_option
def status(folder: Path, key_file: Path | None, number: int | None, recording: str | None, as_json: bool) -> None:
    """Show how many recordings of the private corpus FOLDER are living, fresh and retired in a round.

    \b
    soundsright corpus status corpora/private --round 12

    With --recording and --round, it is an error if that round cannot use the recording.
    """
    corpus = _opened(folder, key_file)
    if recording is not None:
        _say_life(corpus, recording, number, as_json=as_json)
        return
    number = corpus.first_round if number is None else number
    facts = _facts(corpus, number)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"root {corpus.root}")
    click.echo(f"key {corpus.key.fingerprint}, rounds {corpus.first_round} to {corpus.last_round}")
    click.echo(f"In round {number}:")
    for kind, counts in facts["recordings"].items():
        click.echo(f"  {kind:7}" + ", ".join(f"{count} {state}" for state, count in counts.items()))
    for step in facts["next_steps"]:
        click.echo(step)


@command.command("publish")
@corpus_argument
@key_option
@option("--through", required=True, type=_ROUND, help="Last round that has been decided.")
@option("--out", required=True, type=FOLDER, help="Folder for the published recordings.")
@option("--recording", "only", multiple=True, help="Publish only the recording with this id. Repeat it for more.")
@option("--yes", is_flag=True, help="Publish without a question.")
def publish(folder: Path, key_file: Path | None, through: int, out: Path, only: tuple[str, ...], yes: bool) -> None:
    """Publish the recordings of the private corpus FOLDER that have retired, with their proofs.

    \b
    soundsright corpus publish corpora/private --through 12 --out corpora/retired

    A recording that a later round can use is never published. Run the command again with a later round to extend
    the folder, or after an interruption to continue.
    """
    from soundsright.corpus import publish_retired

    corpus = _opened(folder, key_file)
    if not yes:
        click.echo("A published recording cannot be made private again.")
        click.confirm(f"Has round {through} been decided?", abort=True)
    with ProgressLine("publishing {done} of {total}, {left} left") as progress:
        report = publish_retired(corpus, out, through=through, only=only, progress=progress)
    click.echo(
        f"{report.recordings} recordings in {report.folder}, {report.written} written now; retired by the end of "
        f"round {report.through}"
    )
    click.echo(f"Anyone can check them: soundsright corpus verify {report.folder} --root {corpus.root}")


@command.command("verify")
@corpus_argument
@key_option
@option("--root", help="Root that was committed on the chain, 64 hex digits.")
@option(
    "--run",
    "runs",
    multiple=True,
    type=FOLDER,
    help="Folder of a run on this corpus. Its sets are drawn again and compared. Repeat it for more.",
)
@ruleset_option
@click.pass_context
def verify(
    context: click.Context,
    folder: Path,
    key_file: Path | None,
    root: str | None,
    runs: tuple[Path, ...],
    ruleset: str,
) -> None:
    """Check every file of FOLDER: a private corpus, or recordings that were published from one.

    \b
    soundsright corpus verify corpora/retired --root 4b2a…
    soundsright corpus verify corpora/retired --run round-2030-01-05

    Published recordings need no key. The exit code is 1 if a file is missing or changed. Sets with new speech are
    drawn again if the program that spoke them is installed; otherwise a line says that they were not.
    """
    from soundsright.corpus import check_private, check_published, checked_root, is_private_corpus

    expected = None if root is None else checked_root(root)
    check: Check
    with ProgressLine("checked {done} of {total}, {left} left") as progress:
        if is_private_corpus(folder):
            check = check_private(_opened(folder, key_file), root=expected, progress=progress)
        else:
            check = check_published(folder, root=expected, progress=progress)
    for path, problem in check.problems.items():
        click.echo(f"{path}: {problem}")
    click.echo(f"{check.kind}: {check.checked} recordings checked, {len(check.problems) or 'none'} wrong")
    _say_root(check.root, expected)
    right = [_check_run(folder, run, ruleset) for run in runs]
    if check.problems or not all(right):
        context.exit(1)


def _check_run(folder: Path, run: Path, ruleset: str) -> bool:
    """Draw the sets of a run again from the published recordings in a folder. Returns whether they are the same."""
    from soundsright.corpus import is_private_corpus, published_at
    from soundsright.library import installed_speech, organiser_of
    from soundsright.services.report import check_sets

    if is_private_corpus(folder):
        raise UsageError(f"{folder} is still private", "Give the folder to which its recordings were published.")
    right = True
    competitions = organiser_of(ruleset, begun=True).competitions
    for check in check_sets(run, partial(published_at, folder), competitions, speech_of=installed_speech):
        for problem in check.problems:
            click.echo(f"{run}, {check.competition}: {problem}")
        right = right and not check.problems
        if check.unchecked:
            click.echo(f"{run}, {check.competition}: {check.clips} clips were not drawn again: {check.unchecked}")
            continue
        verdict = f"{len(check.problems)} problems" if check.problems else "they are those of the round"
        click.echo(f"{run}, {check.competition}: {check.clips} clips drawn again from seed and root; {verdict}")
    return right


@command.command("key-card")
@option("--secret", required=True, type=FILE, help="File for the secret half of the key; made if there is none.")
@settings_options(Settings, ("wallet", "hotkey", "wallet_path"))
@env_file_option
def key_card(secret: Path, env_file: Path | None, **flags: Any) -> None:
    """Print a key card, with which others can seal a corpus to your hotkey.

    \b
    soundsright corpus key-card --secret corpus-secret.key --wallet validator > card.json

    Send the card to the owner of the corpus. Keep the file with the secret.
    """
    from soundsright.adapters.peers import Hotkey
    from soundsright.corpus import new_card

    account = Hotkey.read(settings_from(Settings, flags, env_file).hotkey_file)
    click.echo(new_card(account.address, account.sign, secret).as_json)


@command.command("export")
@corpus_argument
@key_option
@option("--for", "hotkey", required=True, help="Address of the recipient's hotkey.")
@option("--card", required=True, type=FILE, help="The recipient's key card.")
@option("--out", required=True, type=FILE, help="The archive to write.")
def export(folder: Path, key_file: Path | None, hotkey: str, card: Path, out: Path) -> None:
    """Pack the private corpus FOLDER so that only the owner of one hotkey can open it.

    \b
    soundsright corpus export corpora/private --for 5F3s… --card card.json --out corpus-for-5F3s.zip
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.corpus import export_corpus, read_card

    corpus = _opened(folder, key_file)
    recipient = read_card(card, hotkey, valid_signature)
    with ProgressLine("packing {done} of {total}, {left} left") as progress:
        digest = export_corpus(corpus, recipient, out, progress=progress)
    click.echo(f"{out}: {corpus.statement.recordings} recordings for {hotkey}; files {digest[:16]}")
    click.echo(f"root {corpus.root}")


@command.command("import")
@click.argument("archive", type=FILE)
@option("--out", "folder", required=True, type=FOLDER, help="New folder for the corpus.")
@option("--secret", required=True, type=FILE, help="File with the secret half of your key card.")
@option("--root", help="Root that was committed on the chain, 64 hex digits.")
@key_option
def import_(archive: Path, folder: Path, secret: Path, root: str | None, key_file: Path | None) -> None:
    """Open an ARCHIVE that was packed for you, and check every recording against the root.

    \b
    soundsright corpus import corpus-for-5F3s.zip --out corpora/private --secret corpus-secret.key --root 4b2a…

    The corpus goes into the new folder --out.
    """
    from soundsright.corpus import checked_root, import_corpus

    expected = None if root is None else checked_root(root)
    with ProgressLine("unpacking {done} of {total}, {left} left") as progress:
        corpus = import_corpus(
            archive, secret, folder, key_of_folder(folder, key_file), root=expected, progress=progress
        )
    click.echo(f"{folder}: {corpus.statement.recordings} recordings, all as the root commits to them")
    _say_root(corpus.root, expected)


def _say_life(corpus: PrivateCorpus, recording_id: str, number: int | None, *, as_json: bool) -> None:
    rounds = corpus.life.rounds_of(corpus.entry(recording_id).cohort)
    if number is not None:
        corpus.recording_in(number, recording_id)
    facts = {"id": recording_id, "first_round": rounds[0], "last_round": rounds[-1]}
    click.echo(json.dumps(facts) if as_json else f"{recording_id} is used in rounds {rounds[0]} to {rounds[-1]}")


def _say_root(root: str, expected: str | None) -> None:
    click.echo(f"root {root}")
    if expected is None:
        click.echo("Compare it with the root on the chain, or give that root with --root.")


def _opened(folder: Path, key_file: Path | None) -> PrivateCorpus:
    from soundsright.corpus import PrivateCorpus

    return PrivateCorpus.open(folder, key_of_folder(folder, key_file))


def _say_built(report: BuildReport, skipped: dict[str, str], chosen: RecordingOptions) -> None:
    corpus = report.corpus
    unusable = skipped | report.skipped
    if unusable:
        name, reason = next(iter(unusable.items()))
        count = "1 recording was" if len(unusable) == 1 else f"{len(unusable)} recordings were"
        click.echo(f"{count} left out, such as {name}: {reason}")
    if report.noise_limits:
        click.echo("More noise would give more rounds: each round needs noise that no round has used before.")
    if chosen.allow_public:
        click.echo("Warning: with --allow-public, entries may know some of these recordings.", err=True)
    rounds = f"rounds {corpus.first_round} to {corpus.last_round}"
    click.echo(f"{report.added} recordings added to {corpus.folder}, enough for {rounds}")
    click.echo(f"root {corpus.root}")


def _facts(corpus: PrivateCorpus, number: int) -> dict[str, Any]:
    life = corpus.life
    begin = number - corpus.first_round
    running = begin >= 0 and number <= corpus.last_round
    fresh = life.fresh(number) if running else range(0)
    used = life.in_use(number) if running else range(0)
    recordings: dict[str, dict[str, int]] = {}
    for entry in corpus.entries:
        counts = recordings.setdefault(
            entry.leaf.kind, {"fresh": 0, "used before": 0, "not used yet": 0, "retired": 0}
        )
        if entry.cohort < begin:
            state = "retired"
        elif entry.cohort in fresh:
            state = "fresh"
        else:
            state = "used before" if entry.cohort in used else "not used yet"
        counts[state] += 1
    left = corpus.rounds_left(number)
    steps = []
    if left <= life.uses:
        rounds = "1 round is" if left == 1 else f"{left or 'No'} rounds are"
        steps.append(f"{rounds} left. Add recordings with `soundsright corpus add`.")
    through = min(number - 1, corpus.last_round)
    if through >= corpus.first_round and (corpus.published_through is None or corpus.published_through < through):
        steps.append(f"Publish what has retired: `soundsright corpus publish {corpus.folder} --through {through}`.")
    return {
        "root": corpus.root,
        "key": corpus.key.fingerprint,
        "first_round": corpus.first_round,
        "last_round": corpus.last_round,
        "round": number,
        "uses": life.uses,
        "rounds_left": left,
        "published_through": corpus.published_through,
        "recordings": recordings,
        "next_steps": steps,
    }
