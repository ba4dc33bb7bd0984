"""Says by a Dockerfile alone whether two builds of the same files can differ."""

from __future__ import annotations

import re
from dataclasses import dataclass

from soundsright.core.dockerfile import Instruction, base_images

_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")
_NETWORK = re.compile(
    r"(?<![\w.-])(?:apk|apt|apt-get|aptitude|conda|curl|dnf|gem|git|go|huggingface-cli|hf|mamba|micromamba|microdnf|npm"
    r"|pip3?|pipx|pnpm|poetry|pdm|rsync|scp|uv|wget|yarn|yum|cargo)(?![\w./=-])"
)
_OFFLINE = re.compile(r"--no-index\b|--offline\b")


@dataclass(frozen=True)
class Reproducibility:
    """Whether two builds give an image with the same content; if not, `reason` is a sentence with the line.

    `possible` means that nothing in the Dockerfile prevents it. A program that a line runs can still write the time
    or a random number, so only two builds prove it.
    """

    possible: bool
    reason: str = ""


def reproducible_build(instructions: tuple[Instruction, ...]) -> Reproducibility:
    """Whether builds of a Dockerfile can be repeated: every base is named by its digest, and no line downloads.

    Raises:
        ProtocolViolation: the Dockerfile names a base image by a variable that has no value.

    >>> from soundsright.core.dockerfile import parse_dockerfile
    >>> reproducible_build(parse_dockerfile("FROM python:3.12-slim")).reason
    'line 1: the base image python:3.12-slim is not named by its digest, so it can change'
    >>> reproducible_build(parse_dockerfile("FROM scratch\\nCOPY . .")).possible
    True
    """
    for base in base_images(instructions):
        if not _PINNED.fullmatch(base.reference):
            return Reproducibility(
                False,
                f"line {base.line}: the base image {base.reference} is not named by its digest, so it can change",
            )
    for instruction in instructions:
        if instruction.name == "ADD" and "://" in instruction.value:
            return Reproducibility(
                False, f"line {instruction.line}: ADD downloads, and gets something else another time"
            )
        if instruction.name != "RUN" or _OFFLINE.search(instruction.value):
            continue
        program = _NETWORK.search(instruction.value)
        if program is not None:
            return Reproducibility(
                False, f"line {instruction.line}: {program[0]} can download, and may get other bytes next time"
            )
    return Reproducibility(True)
