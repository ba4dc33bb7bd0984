"""A bundle, opened: its document and the contents of its files, each checked against the document when it is read.

    with open_bundle(Path("round.zip")) as bundle:
        bundle.document.round.id
        steps = RoundSteps(bundle.document.round.id, bundle.steps())

Only the digest of a file is checked here. `round_checks.py` checks that the files agree with each other,
and the signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.services.records.fields import first_fault
from soundsright.services.records.reading import results_from
from soundsright.services.records.results import Results, ScoreLine
from soundsright.services.records.round_audio import wav_of
from soundsright.services.records.round_document import OpenedRound, RoundDocument, read_round
from soundsright.services.records.round_store import BundleStore, audio_name, open_store
from soundsright.services.records.signed import ValidSignature
from soundsright.services.rounds import recipe_sha256

MAX_LINE_BYTES = 32 << 20
"""The step with the sketches of all models is one line."""

_NOT_RECIPE = ("id", "digest", "degraded_sha256", "recipe_sha256", "salt")


class RoundBundle:
    """A bundle whose document was read. Use it as a context, or `close` it.

    Raises:
        BundleRefused: there is no document, or it cannot be read. Methods raise it for a file that is missing,
            damaged, or other than the document says.
    """

    def __init__(self, store: BundleStore, valid_signature: ValidSignature | None = None) -> None:
        self.store = store
        self.opened: OpenedRound = read_round(store.read("round.json"), valid_signature)

    @property
    def document(self) -> RoundDocument:
        return self.opened.document

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def read(self, name: str) -> bytes:
        """The bytes of a file that the document names. They have the digest in the document."""
        facts = self.document.files.get(name)
        if facts is None:
            raise BundleRefused(f"The round document names no file {name[:100]}")
        if self.store.sizes.get(name, facts.bytes) != facts.bytes:
            raise BundleRefused(
                f"{name} has {self.store.sizes[name]} bytes, and the round document says {facts.bytes}"
            )
        raw = self.store.read(name)
        if hashlib.sha256(raw).hexdigest() != facts.sha256:
            raise BundleRefused(
                f"{name} was changed: its SHA-256 is not {facts.sha256}, as the round document says"
            )
        return raw

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The JSON objects in a file of lines that the document names."""
        return bundled_lines(name, self.read(name))

    @cached_property
    def plan(self) -> Mapping[str, Any]:
        """The content of plan.json: `plan`, `ruleset`, `titles`, `history`, `registrations` and `settings`."""
        return bundled_object("plan.json", self.read("plan.json"))

    @cached_property
    def results(self) -> Results:
        """The content of results.json."""
        try:
            return results_from(bundled_object("results.json", self.read("results.json")))
        except BundleRefused:
            raise
        except UsageError as error:
            raise BundleRefused(error.problem) from error

    def steps(self) -> dict[str, Mapping[str, Any]]:
        """The recorded steps by name, as `RoundSteps` takes them."""
        steps: dict[str, Mapping[str, Any]] = {}
        for line in self.lines("steps.jsonl"):
            name, version, facts = line.get("step"), line.get("version"), line.get("facts")
            if not isinstance(name, str) or not isinstance(version, int) or not isinstance(facts, dict):
                raise BundleRefused("steps.jsonl: a line is not that of a step")
            if name in steps:
                raise BundleRefused(f"steps.jsonl: the step {name[:100]} is there twice")
            steps[name] = {"version": version, **facts}
        return steps

    def scores(self) -> Iterator[ScoreLine]:
        """The lines of scores.jsonl."""
        for number, line in enumerate(self.lines("scores.jsonl"), 1):
            try:
                yield ScoreLine.model_validate(line)
            except ValidationError as error:
                raise BundleRefused(f"scores.jsonl, line {number}: {first_fault(error)}") from None

    def clips(self) -> Iterator[Mapping[str, Any]]:
        """The lines of clips.jsonl: `competition`, `clip`, and the digests `clean`, `degraded` and `recipe`."""
        return _with_texts("clips.jsonl", self.lines("clips.jsonl"), ("clip", "clean", "degraded", "recipe"))

    def answers(self) -> Iterator[Mapping[str, Any]]:
        """The lines of answers.jsonl: `competition`, `entry`, `clip`, and `sha256` or `failure`."""
        for line in _with_texts("answers.jsonl", self.lines("answers.jsonl"), ("entry", "clip")):
            answered, failed = line.get("sha256"), line.get("failure")
            if not isinstance(failed if answered is None else answered, str):
                raise BundleRefused("answers.jsonl: a line has neither an answer nor a failure")
            yield line

    def manifest(self, competition: str) -> Iterator[dict[str, Any]]:
        """The lines of the manifest of a set."""
        return self.lines(f"sets/{competition}/manifest.jsonl")

    def disclosed(self, competition: str) -> dict[str, dict[str, Any]]:
        """The recipes by clip id that were withheld when the round ended, and were published later.

        Each has the salted digest that the signer gave before.
        """
        name = f"disclosed/{competition}.jsonl"
        if name not in self.store.sizes:
            return {}
        signed = {line["clip"]: line["recipe"] for line in self.clips() if line["competition"] == competition}
        recipes: dict[str, dict[str, Any]] = {}
        for line in bundled_lines(name, self.store.read(name)):
            clip, salt = str(line.get("id")), line.get("salt")
            if clip not in signed or not isinstance(salt, str) or clip in recipes:
                raise BundleRefused(f"{name}: a line is not that of a clip")
            recipes[clip] = recipe_of(line)
            if recipe_sha256(recipes[clip], salt) != signed[clip]:
                raise BundleRefused(
                    f"{name}: the recipe of clip {clip[:60]} has not the digest in clips.jsonl, which was signed"
                )
        return recipes

    def has_audio(self, sha256: str) -> bool:
        """Whether the bundle has the audio with that digest."""
        return self._kind_of(sha256) is not None

    def wav(self, sha256: str) -> bytes:
        """The WAV file with that digest."""
        kind = self._kind_of(sha256)
        if kind is None:
            raise BundleRefused(f"{self.store.path} has no audio {sha256[:16]}", "Get a bundle with audio.")
        return wav_of(self.store.read(audio_name(sha256, kind)), kind, sha256)

    def _kind_of(self, sha256: str) -> str | None:
        return next((kind for kind in ("flac", "wav") if audio_name(sha256, kind) in self.store.sizes), None)


def open_bundle(path: Path, *, valid_signature: ValidSignature | None = None) -> RoundBundle:
    """Open the bundle in a folder or a .zip file. Without `valid_signature`, a signature is not verified.

    Raises:
        UsageError: there is no such file or folder.
        BundleRefused: it is not a bundle, or its document cannot be read.
    """
    store = open_store(path)
    try:
        return RoundBundle(store, valid_signature)
    except BaseException:
        store.close()
        raise


def bundled_object(name: str, raw: bytes) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        BundleRefused: it is not strict JSON, or not an object.
    """
    try:
        value = strict_json(raw)
    except NotStrictJson as error:
        raise BundleRefused(f"{name} cannot be read: {error.fault}") from None
    if not isinstance(value, dict):
        raise BundleRefused(f"{name} is not a JSON object")
    return value


def bundled_lines(name: str, raw: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects in a file of lines. Each line ends with a line feed.

    Raises:
        BundleRefused: a line is not strict JSON, not an object, or too long.
    """
    if raw and not raw.endswith(b"\n"):
        raise BundleRefused(f"{name}: the last line is not complete")
    start = number = 0
    # A file of line feeds alone would become a list of a hundred times its size.
    while start < len(raw):
        number += 1
        end = raw.index(b"\n", start)
        if end - start > MAX_LINE_BYTES:
            raise BundleRefused(f"{name}, line {number}: longer than {MAX_LINE_BYTES >> 20} MiB")
        yield bundled_object(f"{name}, line {number}", raw[start:end])
        start = end + 1


def recipe_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in a line of a manifest, without the digests beside it."""
    return {name: value for name, value in line.items() if name not in _NOT_RECIPE}


def _with_texts(name: str, lines: Iterator[dict[str, Any]], fields: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, 1):
        missing = [field for field in ("competition", *fields) if not isinstance(line.get(field), str)]
        if missing:
            raise BundleRefused(f"{name}, line {number}: {missing[0]} is missing or not a text")
        yield line
