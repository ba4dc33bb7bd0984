"""Reads a Dockerfile without a container engine: its instructions, and the command that the image runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.errors import ProtocolViolation

MAX_BYTES = 262_144
PYTHON_BASE = "python:3.12-slim"
"""The base image of the shipped models and of the executor's reference."""
DEFAULT_REGISTRIES = frozenset({"docker.io", "index.docker.io"})
"""Names that mean the engine's default registry."""
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^}$]*))?\})")
_MAX_REFERENCE = 512
_QUOTED = re.compile(r"[\"'`\\]")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its first line (from 1), its name in capitals, its flags, and the rest as `value`."""

    line: int
    name: str
    flags: tuple[str, ...]
    value: str

    @property
    def exec_form(self) -> tuple[str, ...] | None:
        """The value as the words of a JSON array, or None if it is not one."""
        try:
            words = json.loads(self.value)
        except (ValueError, RecursionError):
            return None
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            return tuple(words)
        return None


def read_dockerfile(folder: Path) -> tuple[Instruction, ...]:
    """The instructions of `folder/Dockerfile`.

    Raises:
        ProtocolViolation: if the file does not exist, is too large, or is not UTF-8 text.
    """
    path = folder / "Dockerfile"
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise ProtocolViolation(
                f"the model has no Dockerfile of at most {MAX_BYTES} bytes; put one at the root of the repository"
            )
        return parse_dockerfile(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, OSError) as e:
        raise ProtocolViolation(f"the model's Dockerfile cannot be read: {e}") from e


def parse_dockerfile(text: str) -> tuple[Instruction, ...]:
    r"""The instructions of a Dockerfile, without comments and with continued lines joined.

    Here-documents are read as ordinary lines. Some engines run their lines as instructions, so no instruction can
    hide in one.

    >>> [i.name for i in parse_dockerfile("FROM base\n# note\nRUN a \\\n  b\nCMD [\"python\", \"app.py\"]")]
    ['FROM', 'RUN', 'CMD']
    """
    return tuple(_instructions(text.lstrip("\ufeff")))


def _instructions(text: str) -> Iterator[Instruction]:
    # Split lines only where an engine does. Any other split could hide an instruction from the checks.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    escape = _escape_of(lines)
    number = 0
    while number < len(lines):
        start, joined = number + 1, ""
        while number < len(lines):
            line = lines[number]
            number += 1
            if line.lstrip().startswith("#") or (joined and not line.strip()):
                continue
            stripped = line.rstrip()
            if not stripped.endswith(escape):
                joined += line
                break
            joined += stripped[:-1]
        if not joined.strip():
            continue
        name, rest = (*joined.split(None, 1), "")[:2]
        flags, rest = _split_flags(rest.strip())
        yield Instruction(_first_line_of(lines, start), name.upper(), flags, rest)


def _first_line_of(lines: list[str], start: int) -> int:
    while start < len(lines) and (not lines[start - 1].strip() or lines[start - 1].lstrip().startswith("#")):
        start += 1
    return start


def _escape_of(lines: list[str]) -> str:
    for line in lines:
        directive = re.fullmatch(r"#\s*([A-Za-z]+)\s*=\s*(\S+)\s*", line)
        if directive is None:
            break
        if directive[1].lower() == "escape" and directive[2] in ("\\", "`"):
            return directive[2]
    return "\\"


def _split_flags(value: str) -> tuple[tuple[str, ...], str]:
    flags = []
    while value.startswith("--"):
        flag, value = (*value.split(None, 1), "")[:2]
        flags.append(flag)
    return tuple(flags), value


def command_of(instructions: tuple[Instruction, ...]) -> tuple[str, ...]:
    """The command of the last stage: its ENTRYPOINT and CMD. Commands in shell form run through `/bin/sh`.

    Raises:
        ProtocolViolation: if there is neither.

    >>> command_of(parse_dockerfile('FROM base\\nENTRYPOINT ["python"]\\nCMD ["app.py"]'))
    ('python', 'app.py')
    >>> command_of(parse_dockerfile("FROM base\\nCMD python app.py"))
    ('/bin/sh', '-c', 'python app.py')
    """
    words: dict[str, tuple[str, ...]] = {}
    for instruction in instructions:
        if instruction.name == "FROM":
            words = {}
        elif instruction.name in ("ENTRYPOINT", "CMD"):
            words[instruction.name] = instruction.exec_form or ("/bin/sh", "-c", instruction.value)
    command = words.get("ENTRYPOINT", ()) + words.get("CMD", ())
    if not command:
        raise ProtocolViolation('the Dockerfile has no CMD; write one, such as CMD ["python", "app.py"]')
    return command


@dataclass(frozen=True)
class BaseImage:
    """An image that a build starts from or copies from, and the line that names it."""

    line: int
    reference: str

    @property
    def host(self) -> str | None:
        """The registry in the reference, with its port. None means the engine's default registry.

        >>> BaseImage(1, "registry.example:5000/team/base:1").host
        'registry.example:5000'
        >>> BaseImage(1, "team/base:1").host is None and BaseImage(1, "docker.io/team/base:1").host is None
        True
        """
        first, slash, _ = self.reference.partition("/")
        if not slash or first in DEFAULT_REGISTRIES:
            return None
        return first if set(first) & {".", ":"} or first == "localhost" else None


def base_images(instructions: tuple[Instruction, ...]) -> tuple[BaseImage, ...]:
    """The images that a build pulls: those in `FROM` and `COPY --from`, except the Dockerfile's own stages.

    Raises:
        ProtocolViolation: if the Dockerfile gives an image by a variable that has no value.

    >>> text = "ARG TAG=3\\nFROM python:$TAG AS a\\nFROM a\\nCOPY --from=0 /x /x\\nCOPY --from=tools:1 /y /y"
    >>> [image.reference for image in base_images(parse_dockerfile(text))]
    ['python:3', 'tools:1']
    """
    variables: dict[str, str] = {}
    stages = {"scratch"}
    count = 0
    images = []
    for instruction in instructions:
        words = instruction.value.split()
        if instruction.name == "ARG" and count == 0:
            for word in words:
                name, _, value = word.partition("=")
                variables[name] = _expanded(value.strip("\"'"), variables, instruction.line)
        elif instruction.name == "FROM" and words:
            reference = _plain(_expanded(words[0], variables, instruction.line), instruction.line)
            if reference.lower() not in stages:
                images.append(BaseImage(instruction.line, reference))
            stages.add(str(count))
            count += 1
            if len(words) == 3 and words[1].upper() == "AS":
                stages.add(words[2].lower())
        elif instruction.name == "COPY":
            for flag in instruction.flags:
                name, _, reference = flag.partition("=")
                if name == "--from" and reference.lower() not in stages:
                    images.append(BaseImage(instruction.line, _plain(reference, instruction.line)))
    return tuple(images)


def _expanded(text: str, variables: dict[str, str], line: int) -> str:
    """The text with `$NAME`, `${NAME}` and `${NAME:-default}` replaced by their values."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2]) or match[3] or ""

    expanded = _VARIABLE.sub(value, text[:_MAX_REFERENCE])
    if max(len(text), len(expanded)) > _MAX_REFERENCE:
        # Stop here: each further line could double the length.
        raise ProtocolViolation(f"Dockerfile line {line}: a value has more than {_MAX_REFERENCE} characters")
    if text and (not expanded or "$" in expanded):
        raise ProtocolViolation(f"Dockerfile line {line}: {text[:100]!r} has no value; write the image's name")
    return expanded


def _plain(reference: str, line: int) -> str:
    """The reference, if all engines read it in the same way. Some engines remove quotes inside a word."""
    if _QUOTED.search(reference) or "$" in reference:
        raise ProtocolViolation(f"Dockerfile line {line}: {reference[:100]!a} is not a plain name of an image")
    return reference


PROTOCOL_LABEL = "soundsright.protocol"
PROTOCOLS = ("http", "files")


def protocol_of(instructions: tuple[Instruction, ...]) -> str:
    """The protocol that the label `soundsright.protocol` names; `http` without a label.

    Raises:
        ProtocolViolation: if the label is neither `http` nor `files`.

    >>> protocol_of(parse_dockerfile('FROM base\\nLABEL soundsright.protocol="files"'))
    'files'
    """
    protocol = "http"
    for instruction in instructions:
        if instruction.name == "LABEL":
            match = re.search(rf"{re.escape(PROTOCOL_LABEL)}\s*=\s*[\"']?([^\s\"']*)", instruction.value)
            protocol = match[1] if match else protocol
    return known_protocol(protocol)


def known_protocol(name: str) -> str:
    """Return the name of a protocol unchanged.

    Raises:
        ProtocolViolation: if no protocol has that name.
    """
    if name not in PROTOCOLS:
        raise ProtocolViolation(f"the label {PROTOCOL_LABEL} is {name[:40]!r}; write {' or '.join(PROTOCOLS)}")
    return name
