"""Checks a Dockerfile for instructions that are refused, and names the line of each.

These checks help miners: they report mistakes early and clearly. They do not protect the validator. The sandbox
does: it grants none of these things, even if a check overlooks them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from soundsright.core.dockerfile import Instruction
from soundsright.core.errors import EntryRefused

_SYNTAX = re.compile(r"#\s*syntax\s*=", re.IGNORECASE)
_REMOTE = re.compile(r"(?:^|[\s\"\[,])(?:(?:https?|ftp|git|ssh)://|git@)", re.IGNORECASE)
_WALLET = re.compile(r"\.bittensor|\bwallets?\b|\bcold-?keys?\b|\bhot-?keys?\b|\bmnemonic\b", re.IGNORECASE)
_ENGINE = re.compile(r"docker\.sock|podman\.sock|containerd\.sock|/var/run/docker|/var/lib/docker", re.IGNORECASE)
_PRIVILEGE = re.compile(
    r"--privileged\b|--cap-add\b|\bsetcap\b|\bnsenter\b|\bsudo\b|--security=insecure"
    r"|\bchmod\s+(?:-\S+\s+)*(?:[ugoa]*[ug]\+\S*s|[4267][0-7]{3})\b",
    re.IGNORECASE,
)
_SIGNAL = re.compile(r"(?:SIG)?[A-Z]{2,6}[0-9+-]{0,4}|[0-9]{1,2}")
_ROOT = re.compile(r"(?:root|0+)(?::.*)?")


@dataclass(frozen=True)
class DockerfileRefusal:
    """One refused line (from 1), with a code that never changes and a sentence with the remedy."""

    line: int
    code: str
    sentence: str

    def __str__(self) -> str:
        return f"Dockerfile line {self.line}: {self.sentence}"


def dockerfile_refusals(text: str, instructions: tuple[Instruction, ...]) -> tuple[DockerfileRefusal, ...]:
    """Every refusal of a Dockerfile, in the order of its lines.

    >>> from soundsright.core.dockerfile import parse_dockerfile
    >>> text = "FROM base\\nADD https://example.org/x /x"
    >>> [str(r) for r in dockerfile_refusals(text, parse_dockerfile(text))]
    ['Dockerfile line 2: ADD downloads from an address; put the file into the repository and COPY it']
    """
    refusals = [
        *_syntax_refusals(text),
        *(refusal for instruction in instructions for refusal in _instruction_refusals(instruction)),
        *_user_refusals(instructions),
    ]
    return tuple(sorted(refusals, key=lambda refusal: refusal.line))


def check_dockerfile(text: str, instructions: tuple[Instruction, ...]) -> None:
    """Check that a Dockerfile has no refused line.

    Raises:
        EntryRefused: `dockerfile`, with every refusal in the evidence.
    """
    refusals = dockerfile_refusals(text, instructions)
    if refusals:
        evidence = {f"line {r.line}": r.sentence for r in refusals}
        raise EntryRefused("dockerfile", "; ".join(map(str, refusals)), evidence)


def _syntax_refusals(text: str) -> Iterator[DockerfileRefusal]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.startswith("#"):
            return
        if _SYNTAX.match(line):
            yield DockerfileRefusal(
                number, "syntax", "a syntax directive loads another program to read the file; remove the line"
            )


def _instruction_refusals(instruction: Instruction) -> Iterator[DockerfileRefusal]:
    line, name, value = instruction.line, instruction.name, instruction.value
    text = " ".join((*instruction.flags, value))
    if name == "ADD" and (_REMOTE.search(value) or "$" in value):
        # A variable can contain an address.
        yield DockerfileRefusal(
            line, "add_url", "ADD downloads from an address; put the file into the repository and COPY it"
        )
    if name in ("RUN", "COPY", "ADD") and "<<" in value:
        yield DockerfileRefusal(line, "heredoc", "<< begins a here-document; COPY a file with these lines instead")
    if name == "STOPSIGNAL" and not _SIGNAL.fullmatch(value):
        yield DockerfileRefusal(line, "signal", "STOPSIGNAL is not the name of a signal; remove it")
    if name == "VOLUME":
        yield DockerfileRefusal(line, "volume", "VOLUME asks for a writable disk; write to /tmp instead")
    if name == "ONBUILD":
        yield DockerfileRefusal(line, "onbuild", "ONBUILD changes other builds; remove it")
    for flag in instruction.flags:
        if flag.startswith("--mount="):
            yield DockerfileRefusal(line, "mount", f"{flag} mounts files of the host; COPY the files instead")
        elif flag.startswith(("--security=", "--network=", "--device=")):
            yield DockerfileRefusal(line, "privilege", f"{flag} is never granted; remove it")
    if _ENGINE.search(text):
        yield DockerfileRefusal(line, "engine", "the line names the container engine's socket or files; remove it")
    if name != "LABEL" and _WALLET.search(text):
        yield DockerfileRefusal(line, "wallet", "the line names a wallet or a key, which no model needs; remove it")
    if name in ("RUN", "CMD", "ENTRYPOINT") and (match := _PRIVILEGE.search(text)):
        yield DockerfileRefusal(line, "privilege", f"{match[0]} asks for a privilege that no model gets; remove it")


def _user_refusals(instructions: tuple[Instruction, ...]) -> Iterator[DockerfileRefusal]:
    last: Instruction | None = None
    for instruction in instructions:
        if instruction.name == "FROM":
            last = None
        elif instruction.name == "USER":
            last = instruction
    if last is not None and _ROOT.fullmatch(last.value.strip()):
        yield DockerfileRefusal(
            last.line, "root", "the model would run as root; end with a number, such as USER 10001"
        )
