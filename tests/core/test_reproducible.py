import pytest

from soundsright.core.dockerfile import parse_dockerfile
from soundsright.core.reproducible import Reproducibility, reproducible_build

PINNED = f"FROM python@sha256:{'a' * 64}\n"


def of(text: str) -> Reproducibility:
    return reproducible_build(parse_dockerfile(text))


@pytest.mark.parametrize(
    "text",
    [
        "FROM scratch\nCOPY . .",
        PINNED + "COPY . .\nRUN python -m compileall .",
        f"FROM registry.example:5000/base:3@sha256:{'0' * 64} AS a\nFROM a\nCOPY --from=a /x /y",
        PINNED + "RUN pip install --no-index --find-links wheels -r requirements.txt",
        PINNED + "COPY pip.conf git.txt ./\nRUN cat ./pip.conf",
        PINNED + "ENV PIP=pip\nRUN ls pip.conf my-pip",
    ],
)
def test_a_pinned_base_without_downloads_can_be_built_again(text: str) -> None:
    assert of(text) == Reproducibility(True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM python:3.12", "line 1: the base image python:3.12 is not named by its digest, so it can change"),
        ("ARG T=3\nFROM python:$T", "line 2: the base image python:3 is not named by its digest, so it can change"),
        (PINNED + "COPY --from=tools:1 /x /x", "line 2: the base image tools:1 is not named"),
        (PINNED + "RUN pip install numpy", "line 2: pip can download"),
        (PINNED + "RUN python -m pip install numpy", "line 2: pip can download"),
        (PINNED + 'RUN ["pip3", "install", "numpy"]', "line 2: pip3 can download"),
        (PINNED + "RUN true && \\\n  apt-get update", "line 2: apt-get can download"),
        (PINNED + "RUN /usr/bin/wget example.org/x", "line 2: wget can download"),
        (PINNED + "ADD https://example.org/x /x", "line 2: ADD downloads"),
        (PINNED + "RUN sh -c 'curl https://example.org/x'", "line 2: curl can download"),
    ],
)
def test_what_can_change_is_named_with_its_line(text: str, reason: str) -> None:
    found = of(text)
    assert (found.possible, found.reason.startswith(reason)) == (False, True), found.reason
