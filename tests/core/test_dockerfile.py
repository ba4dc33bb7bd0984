"""Dockerfiles are read line by line, and every refusal names its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.dockerfile import (
    base_images,
    command_of,
    parse_dockerfile,
    protocol_of,
    read_dockerfile,
)
from soundsright.core.dockerfile_checks import check_dockerfile, dockerfile_refusals
from soundsright.core.errors import EntryRefused, ProtocolViolation

TEMPLATE = Path(__file__).parents[2] / "models" / "template"


def refused(text: str) -> list[tuple[int, str]]:
    return [(r.line, r.code) for r in dockerfile_refusals(text, parse_dockerfile(text))]


def test_continuations_and_comments_keep_their_lines() -> None:
    text = '# note\nFROM base\n\nRUN a \\\n # inside\n  b\nCMD ["x"]\n'
    assert [(i.line, i.name) for i in parse_dockerfile(text)] == [(2, "FROM"), (4, "RUN"), (7, "CMD")]


def test_only_the_last_stage_decides_the_command() -> None:
    text = 'FROM a\nENTRYPOINT ["x"]\nCMD ["y"]\nFROM b\nCMD ["z"]\n'
    assert command_of(parse_dockerfile(text)) == ("z",)


def test_the_template_is_not_refused() -> None:
    text = (TEMPLATE / "Dockerfile").read_text()
    check_dockerfile(text, read_dockerfile(TEMPLATE))
    assert protocol_of(read_dockerfile(TEMPLATE)) == "http"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("USER root", "root"),
        ("USER 0:0", "root"),
        ("ADD https://example.org/weights.bin /w", "add_url"),
        ("ADD --checksum=sha256:00 https://example.org/x /w", "add_url"),
        ("ADD git@example.org:a/b.git /w", "add_url"),
        ('ADD ["http://example.org/x", "/w"]', "add_url"),
        ("ADD ${U}://127.0.0.1/x /w", "add_url"),
        ("RUN cat <<EOF", "heredoc"),
        ("STOPSIGNAL no space left on device", "signal"),
        ("VOLUME /data", "volume"),
        ("ONBUILD RUN x", "onbuild"),
        ("RUN --mount=type=secret,id=x cat /run/secrets/x", "mount"),
        ("RUN --mount=type=bind,source=/,target=/host ls /host", "mount"),
        ("RUN --security=insecure x", "privilege"),
        ("RUN --network=host curl x", "privilege"),
        ("RUN sudo x", "privilege"),
        ("RUN chmod u+s /bin/sh", "privilege"),
        ("RUN chmod 4755 /bin/sh", "privilege"),
        ("RUN setcap cap_net_raw+ep /bin/x", "privilege"),
        ("CMD docker run --privileged x", "privilege"),
        ("RUN ls /var/run/docker.sock", "engine"),
        ("COPY .bittensor /root/.bittensor", "wallet"),
        ("RUN cat ~/wallets/default/coldkey", "wallet"),
    ],
)
def test_each_refusal_names_its_line(line: str, code: str) -> None:
    assert (2, code) in refused(f'FROM base\n{line}\nCMD ["x"]\n')


@pytest.mark.parametrize(
    "line", ["USER 10001", "RUN pip install x", "ADD weights.tar /w", "RUN chmod 755 /x", "RUN chmod -R a+rX /x"]
)
def test_instructions_that_models_need_are_not_refused(line: str) -> None:
    assert refused(f'FROM base\n{line}\nCMD ["x"]\n') == []


def test_root_is_allowed_in_stages_before_the_last() -> None:
    assert refused('FROM a\nUSER root\nFROM b\nUSER 5\nCMD ["x"]\n') == []


def test_a_syntax_directive_is_refused() -> None:
    assert refused('# syntax=evil/frontend\nFROM a\nCMD ["x"]\n') == [(1, "syntax")]


def test_every_refusal_is_in_the_evidence() -> None:
    text = "FROM a\nVOLUME /x\nUSER root\n"
    with pytest.raises(EntryRefused, match=r"line 2.*line 3") as caught:
        check_dockerfile(text, parse_dockerfile(text))
    assert list(caught.value.evidence) == ["line 2", "line 3"]


def test_an_unknown_protocol_is_the_models_fault() -> None:
    with pytest.raises(ProtocolViolation, match="carrier-pigeon"):
        protocol_of(parse_dockerfile("FROM a\nLABEL soundsright.protocol=carrier-pigeon"))


def test_a_dockerfile_that_cannot_be_read_is_the_models_fault(tmp_path: Path) -> None:
    for content in (None, b"\xff\xfe", b"#" * 300_000):
        if content is not None:
            (tmp_path / "Dockerfile").write_bytes(content)
        with pytest.raises(ProtocolViolation):
            read_dockerfile(tmp_path)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("RUN\t--mount=type=bind,target=/x cat /x", "mount"),
        ("RUN --mount=type=bind\tcat /x", "mount"),
        ("ADD\thttps://example.org/x /x", "add_url"),
        ("RUN echo $((1<<N))\nADD https://example.org/x /x", "add_url"),
        ("RUN cat <<EOF\nADD https://example.org/x /x\nEOF", "add_url"),
        ('RUN echo "a <<EOF b"\nADD https://example.org/x /x\nRUN echo \\\nEOF', "add_url"),
        ("RUN true \u2028ADD x /x\nADD https://example.org/x /x", "add_url"),
    ],
)
def test_a_refused_instruction_is_found_however_it_is_written(line: str, code: str) -> None:
    text = f'FROM base\n{line}\nUSER 10001\nCMD ["python", "app.py"]\n'
    assert code in {refusal.code for refusal in dockerfile_refusals(text, parse_dockerfile(text))}


def test_a_tab_after_an_instruction_is_a_space() -> None:
    assert command_of(parse_dockerfile('FROM base\nCMD\t["python", "app.py"]')) == ("python", "app.py")


def test_a_strangers_text_cannot_control_a_terminal() -> None:
    text = 'FROM base\nRUN --mount=\x1b[2J true\nCMD ["python"]\n'
    with pytest.raises(EntryRefused) as refused:
        check_dockerfile(text, parse_dockerfile(text))
    assert "\x1b" not in str(refused.value)
    assert not any("\x1b" in value for value in refused.value.evidence.values())


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("ARG TAG\nFROM python:${TAG:-3.12}-slim", ["python:3.12-slim"]),
        (
            'ARG A="registry.example/x"\nARG B=$A/y\nFROM --platform=linux/amd64 $B:1 AS Base\nFROM base',
            ["registry.example/x/y:1"],
        ),
        ("FROM scratch\nCOPY --chown=1 --from=tools:1 /x /x", ["tools:1"]),
        ("FROM a\nARG LATE=x\nFROM b", ["a", "b"]),
    ],
)
def test_the_images_that_a_build_pulls_are_known_before_it(text: str, images: list[str]) -> None:
    assert [image.reference for image in base_images(parse_dockerfile(text))] == images


@pytest.mark.parametrize("text", ["FROM $NOWHERE", "ARG A\nFROM ${A}", "ARG A=x\nFROM ${A/x/y}"])
def test_an_image_without_a_name_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"Dockerfile line \d: .* has no value"):
        base_images(parse_dockerfile(text))


@pytest.mark.parametrize(
    "lines",
    [
        'ARG A=10.0."0".5:5000/x\nFROM $A',
        "FROM 'base'",
        'FROM base\nCOPY --from="tools" /x /x',
        "FROM base\nCOPY --from=$X /x /x",
        "FROM " + "a" * 600,
    ],
)
def test_an_image_name_that_engines_read_differently_is_refused(lines: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"line [12]:"):
        base_images(parse_dockerfile(lines))


def test_variables_that_double_their_length_are_refused_early() -> None:
    grown = "".join(f"ARG A{n + 1}={f'$A{n}' * 10}\n" for n in range(20))
    with pytest.raises(ProtocolViolation, match="line 3: a value has more than 512 characters"):
        base_images(parse_dockerfile(f"ARG A0=xxxxxxxxxx\n{grown}FROM base\n"))
