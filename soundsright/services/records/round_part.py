"""A part of a bundle: one clip, with an entry's answer to it, and the proofs that they belong to the round.

Only the lines of that competition and that entry are read, and the audio of that clip. So a part has a few hundred
kB, however large the bundle is. Nothing is kept that was not checked against the round document.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.core.merkle import MAX_PROOF, inclusion_proof, is_included, leaf_hash, merkle_root
from soundsright.services.records.fields import SafeName, ShortText, first_fault
from soundsright.services.records.round_audio import wav_of
from soundsright.services.records.round_bundle import RoundBundle, bundled_lines, bundled_object
from soundsright.services.records.round_document import OpenedRound, Sha256, read_round
from soundsright.services.records.round_leaves import INDEX, answer_leaf, clip_leaf, index_of
from soundsright.services.records.round_store import BundleStore, audio_name, max_bytes_of
from soundsright.services.records.signed import ValidSignature

PROOF = "proof.json"


class BundlePlace(Protocol):
    """A place that has the files of a bundle: a folder, a .zip file, or an address on the web."""

    def part(self, name: str, start: int, end: int) -> bytes | None:
        """The bytes of a file from `start` to before `end`, or fewer where the file ends; None without the file.

        Raises:
            SoundsRightError: the place does not answer.
        """
        ...


class StorePlace:
    """The files of a bundle on this machine."""

    def __init__(self, store: BundleStore) -> None:
        self._store = store

    def part(self, name: str, start: int, end: int) -> bytes | None:
        return self._store.read(name)[start:end] if name in self._store.sizes else None


class _Proof(BaseModel):
    """A leaf, and the hashes that lead from it to the root of a tree of `size` leaves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    leaf: dict[str, ShortText]
    index: Annotated[int, Field(ge=0, le=10_000_000)]
    size: Annotated[int, Field(ge=1, le=10_000_000)]
    path: Annotated[tuple[Sha256, ...], Field(max_length=MAX_PROOF)]


class PartProof(BaseModel):
    """The proof that a clip and an answer belong to a round. `document` is the SHA-256 of the round document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["soundsright.part/1"] = Field(alias="schema")
    document: Sha256
    competition: SafeName
    clip: _Proof
    entry: ShortText | None
    answer: _Proof | None


@dataclass(frozen=True)
class BundlePart:
    """A part of a bundle: its document, its proof and its files by name.

    `missing` are the digests of the signals that the place does not have.
    """

    opened: OpenedRound
    proof: PartProof
    files: Mapping[str, bytes]
    missing: tuple[str, ...]


def fetched_part(
    place: BundlePlace,
    clip: str,
    *,
    entry: str | None = None,
    competition: str | None = None,
    valid_signature: ValidSignature | None = None,
) -> BundlePart:
    """Read one clip, and the answer of `entry` to it: its id or its hotkey.

    Raises:
        UsageError: the round has no such competition, clip or entry.
        BundleRefused: something is missing, too large, or not what the round document says.
    """
    raw = whole_file(place, "round.json", max_bytes_of("round.json") or 0)
    opened = read_round(raw, valid_signature)
    document = opened.document
    own = next((e for e in document.entries if entry in (e.entry, e.hotkey)), None)
    if entry is not None and own is None:
        raise UsageError(f"The round has no entry {entry[:60]!r}", _one_of([e.entry for e in document.entries]))
    names = [c.id for c in document.competitions]
    chosen = competition or (own.competition if own else names[0] if len(names) == 1 else "")
    facts = next((c for c in document.competitions if c.id == chosen), None)
    if facts is None or (own is not None and own.competition != chosen):
        raise UsageError(f"The clip is in no competition {chosen[:60]!r}", _one_of(names, "--competition "))
    index = bundled_object(INDEX, named_file(place, opened, INDEX))
    lines = _lines(place, opened, "clips.jsonl", index, chosen)
    clip_proof = _proved(lines, clip, clip_leaf, facts.clips_root, f"the clips of {chosen}")
    files = {"round.json": raw}
    signals = [clip_proof.leaf["clean"], clip_proof.leaf["degraded"]]
    answer_proof = None
    if own is not None:
        answers = _lines(place, opened, "answers.jsonl", index, own.entry)
        answer_proof = _proved(answers, clip, answer_leaf, own.answers_root, f"the answers of {own.entry}")
        signals += [answer_proof.leaf["sha256"]] if "sha256" in answer_proof.leaf else []
    missing = []
    for digest in dict.fromkeys(signals):
        audio = fetched_signal(place, digest)
        if audio is None:
            missing.append(digest)
        else:
            files |= audio
    proof = PartProof(
        schema="soundsright.part/1",
        document=opened.sha256,
        competition=chosen,
        clip=clip_proof,
        entry=own.entry if own else None,
        answer=answer_proof,
    )
    files[PROOF] = (canonical_json(proof.model_dump(mode="json", by_alias=True)) + "\n").encode()
    return BundlePart(opened, proof, files, tuple(missing))


def check_part(store: BundleStore, valid_signature: ValidSignature | None = None) -> tuple[OpenedRound, PartProof]:
    """Check a part that was fetched before: its proofs, and the audio beside it.

    Raises:
        BundleRefused: something is wrong.
    """
    opened = read_round(store.read("round.json"), valid_signature)
    try:
        proof = PartProof.model_validate(bundled_object(PROOF, store.read(PROOF)))
    except ValidationError as error:
        raise BundleRefused(f"{PROOF}: {first_fault(error)}") from None
    if proof.document != opened.sha256:
        raise BundleRefused(
            f"{PROOF} is for the document {proof.document[:16]}, and round.json is {opened.sha256[:16]}"
        )
    facts = next((c for c in opened.document.competitions if c.id == proof.competition), None)
    own = next((e for e in opened.document.entries if e.entry == proof.entry), None)
    if facts is None or (proof.entry is None) != (proof.answer is None) or (own is None) != (proof.entry is None):
        raise BundleRefused(f"{PROOF} names a competition or an entry that the round does not have")
    _check(proof.clip, clip_leaf, facts.clips_root, facts.clips, f"the clips of {facts.id}")
    named = {proof.clip.leaf["clean"], proof.clip.leaf["degraded"]}
    if own is not None and proof.answer is not None:
        _check(proof.answer, answer_leaf, own.answers_root, own.answers_count, f"the answers of {own.entry}")
        if own.competition != facts.id or proof.answer.leaf.get("clip") != proof.clip.leaf["clip"]:
            raise BundleRefused(f"{PROOF} has an answer to another clip")
        named.add(proof.answer.leaf.get("sha256", ""))
    for name in store.sizes:
        digest, _, kind = Path(name).name.partition(".")
        if name.startswith("audio/") and digest in named:
            wav_of(store.read(name), kind, digest)
        elif name not in ("round.json", PROOF):
            raise BundleRefused(f"{name} does not belong to the clip")
    return opened, proof


def check_index(bundle: RoundBundle) -> None:
    """Check that the index of a whole bundle says where the lines are.

    Raises:
        BundleRefused: it does not.
    """
    lines = {
        name: [(line[owner], canonical_json(line)) for line in bundle.lines(name)]
        for name, owner in (("clips.jsonl", "competition"), ("answers.jsonl", "entry"))
    }
    if bundled_object(INDEX, bundle.read(INDEX)) != index_of(lines):
        raise BundleRefused(f"{INDEX} does not say where the lines of each entry are")


def write_part(part: BundlePart, out: Path) -> None:
    """Write the files of a part to the new folder `out`: all of them or none.

    Raises:
        UsageError: the folder cannot be written.
    """
    folder = out.resolve()
    unfinished = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, raw in part.files.items():
            (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / name).write_bytes(raw)
        unfinished.rename(folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise UsageError(
            f"{out} cannot be written ({error.strerror})", "Give another folder with --out."
        ) from error


def named_file(place: BundlePlace, opened: OpenedRound, name: str) -> bytes:
    """A file that the document names, with the digest that it says.

    Raises:
        BundleRefused: the document does not name it, it is missing, or it has other content.
    """
    facts = opened.document.files.get(name)
    if facts is None:
        raise BundleRefused(f"The round document names no file {name}")
    raw = whole_file(place, name, facts.bytes)
    if hashlib.sha256(raw).hexdigest() != facts.sha256:
        raise BundleRefused(f"{name} was changed: its SHA-256 is not the one in the round document")
    return raw


def whole_file(place: BundlePlace, name: str, max_bytes: int) -> bytes:
    """A whole file of at most `max_bytes`.

    Raises:
        BundleRefused: there is none, or it is larger.
    """
    raw = place.part(name, 0, max_bytes + 1)
    if raw is None:
        raise BundleRefused(f"There is no {name}")
    if len(raw) > max_bytes:
        raise BundleRefused(f"{name} has more than {max_bytes} bytes")
    return raw


def _lines(
    place: BundlePlace, opened: OpenedRound, name: str, index: Mapping[str, Any], owner: str
) -> list[Mapping[str, Any]]:
    """The lines of an owner in a file of lines. Their root is checked later, so the index need not be trusted."""
    facts = opened.document.files.get(name)
    try:
        start, end = index[name][owner]
        if facts is None or not 0 <= start < end <= facts.bytes:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise BundleRefused(f"{INDEX} does not say where the lines of {owner} in {name} are") from None
    raw = place.part(name, start, end)
    if raw is None or len(raw) != end - start:
        raise BundleRefused(f"{name} ends before the lines of {owner}")
    return list(bundled_lines(name, raw))


def _proved(
    lines: Sequence[Mapping[str, Any]],
    clip: str,
    leaf_of: Callable[[Mapping[str, Any]], bytes],
    root: str | None,
    what: str,
) -> _Proof:
    try:
        leaves = [leaf_hash(leaf_of(line)) for line in lines]
    except KeyError:
        raise BundleRefused(f"A line of {what} has not all of its fields") from None
    if merkle_root(leaves).hex() != root:
        raise BundleRefused(f"The root of {what} is not the one in the round document")
    place = next((n for n, line in enumerate(lines) if line["clip"] == clip), None)
    if place is None:
        raise UsageError(f"{clip[:60]!r} is not among {what}", _one_of([line["clip"] for line in lines]))
    path = tuple(node.hex() for node in inclusion_proof(leaves, place))
    return _Proof(leaf=bundled_object("leaf", leaf_of(lines[place])), index=place, size=len(leaves), path=path)


def _check(
    proof: _Proof, leaf_of: Callable[[Mapping[str, Any]], bytes], root: str | None, size: int, what: str
) -> None:
    try:
        leaf = leaf_hash(leaf_of(proof.leaf))
    except KeyError:
        raise BundleRefused(f"{PROOF}: the leaf of {what} has not all of its fields") from None
    path = [bytes.fromhex(node) for node in proof.path]
    right = proof.size == size and root is not None
    if not right or not is_included(leaf, proof.index, proof.size, path, bytes.fromhex(root or "")):
        raise BundleRefused(f"{PROOF} does not prove that its leaf is among {what}: it is of another tree")


def fetched_signal(place: BundlePlace, digest: str) -> dict[str, bytes] | None:
    """The file of a signal, by name; None if the place does not have it.

    Raises:
        BundleRefused: it is too large, or has other content than its name says.
    """
    for kind in ("flac", "wav"):
        name = audio_name(digest, kind)
        limit = max_bytes_of(name) or 0
        raw = place.part(name, 0, limit + 1)
        if raw is None:
            continue
        if len(raw) > limit:
            raise BundleRefused(f"{name} has more than {limit} bytes")
        wav_of(raw, kind, digest)
        return {name: raw}
    return None


def _one_of(names: Sequence[str], option: str = "") -> str:
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"Give {option}one of {shown}." if names else "The round has none."
