"""The competitions and rules that a user names: a ruleset that ships, or an organiser's TOML file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.core.competition_rules import CompetitionRules


def organiser_of(rules: str, *, begun: bool) -> CompetitionRules:
    """The organiser's choices behind `rules`: the name of a shipped ruleset, or the path of a `.toml` file.

    `begun` says that the competition has started, so its first day may lie in the past.

    Raises:
        UsageError: no ruleset has that name, or the file cannot be read or has a mistake.
    """
    from soundsright.core.competition import PUBLISHED
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.rulesets import ruleset_by_name
    from soundsright.metrics import Direction, known_metrics
    from soundsright.rules import MAX_FILE_CHARS, organiser_of_toml

    if not rules.endswith(".toml"):
        if "/" in rules or Path(rules).exists():
            raise UsageError(f"{rules} is not a file of rules", "Give a file whose name ends in .toml.")
        return CompetitionRules(PUBLISHED, ruleset_by_name(rules))
    # The rules treat the larger mean as the better one, so only metrics of that direction can pay.
    payable = [name for name, known in known_metrics().items() if known.direction is Direction.HIGHER_IS_BETTER]
    return organiser_of_toml(
        text_of_file(Path(rules), MAX_FILE_CHARS),
        source=rules,
        now_s=time.time(),
        begun=begun,
        known_metrics=payable,
    )


def text_of_file(path: Path, max_bytes: int) -> str:
    """The UTF-8 text of a file.

    Raises:
        UsageError: the file cannot be read, is larger than `max_bytes`, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise UsageError(f"{path} is larger than {max_bytes} bytes", "Name a smaller file.")
        return content.decode()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "Name a file that can.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error}", "Name a text file.") from error
