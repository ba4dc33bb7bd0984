"""Writes the parts of docs/ that follow from the code: commands, settings, codes, metrics, rewards and rooms.

    python scripts/reference_pages.py            # rewrite them
    python scripts/reference_pages.py --check    # exit code 1 if a page is out of date

A page marks such a part by `<!-- begin NAME -->` and `<!-- end NAME -->`. Everything between the two is replaced.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import dedent

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.rooms_picture import rooms_svg  # noqa: E402
from soundsright.cli.main import COMMANDS, cli  # noqa: E402
from soundsright.config import (  # noqa: E402
    ExecutorSettings,
    FederationSettings,
    MinerSettings,
    Settings,
    TiersFields,
    ValidatorSettings,
)
from soundsright.core.competition import PUBLISHED, metric_name  # noqa: E402
from soundsright.core.entry_rules import REFUSAL_REASONS  # noqa: E402
from soundsright.core.executor_rules import executor_rules  # noqa: E402
from soundsright.core.federation_rules import federation_rules  # noqa: E402
from soundsright.core.profiles import Profile  # noqa: E402
from soundsright.core.tiers_rules import TIER_RANGES, TIERS_KEYS, tiers_rules  # noqa: E402
from soundsright.core.toml_location import toml_text  # noqa: E402
from soundsright.metrics import METRICS  # noqa: E402
from tests.layers import picture  # noqa: E402

_REGION = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def commands_text() -> str:
    """Every command with its arguments and options."""
    return "\n".join(_command_lines(cli, ("soundsright",)))


def _command_lines(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    if len(path) > 1:
        usage = " ".join([" ".join(path), *command.collect_usage_pieces(context)])
        yield from (f"{'#' * len(path)} `{' '.join(path)}`", "", _help_text(command), "")
        yield from ("```text", usage, "```", "")
        options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        if options:
            yield from ("| option | meaning | default |", "| --- | --- | --- |")
            yield from (_option_row(option, context) for option in options)
            yield ""
    if isinstance(command, click.Group):
        for name in COMMANDS if command is cli else sorted(command.commands):
            child = command.get_command(context, name)
            assert child is not None
            yield from _command_lines(child, (*path, name))


def _help_text(command: click.Command) -> str:
    """The command's help. A paragraph after the mark of click for verbatim text becomes a code block."""
    paragraphs = (command.help or "").split("\n\n")
    return "\n\n".join(
        "```text\n" + dedent(p.strip().removeprefix("\b").strip("\n")) + "\n```"
        if p.lstrip().startswith("\b")
        else _escaped(" ".join(p.split()))
        for p in paragraphs
    )


def _option_row(option: click.Option, context: click.Context) -> str:
    facts = option.get_help_extra(context)
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    kind = "" if option.is_flag else f" `{option.make_metavar(context)}`".replace("|", "\\|")
    text = option.help or ""
    default = facts.get("default", "")
    written = re.search(r"\[default: (.*?)\]", text)
    if written:
        default, text = written[1], text.replace(written[0], "")
    notes = [note for note in (facts.get("range", ""), facts.get("required", "")) if note]
    meaning = " ".join([*text.split(), *(f"({note})" for note in notes)])
    variables = "".join(f" Variable: `{name}`." for name in facts.get("envvars", ()))
    return f"| {names}{kind} | {_escaped(meaning)}{variables} | {_escaped(default)} |"


def settings_text(kind: type[Settings], shared: bool, *, base: type[Settings] = Settings) -> str:
    """A row for each setting: those of `base`, or those that `kind` alone has."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in kind.model_fields.items():
        if (name in base.model_fields) == shared:
            default = "" if field.default in (None, "") else f"`{_default(field.default)}`"
            rows.append(f"| `{name.upper()}` | {default} | {_escaped(field.description or '')} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def refusals_text() -> str:
    rows = [f"| `{code}` | {reason.when} | {reason.remedy} |" for code, reason in REFUSAL_REASONS.items()]
    return "\n".join(["| code | refused because | what to do |", "| --- | --- | --- |", *rows])


def metrics_text() -> str:
    rows = ["| name | unit | range | better | floor | rates, kHz | needs | source |", "| --- " * 8 + "|"]
    for name, metric in METRICS.items():
        rates = f"{min(metric.sample_rates_hz) / 1000:g} … {max(metric.sample_rates_hz) / 1000:g}"
        needs = [*(["clean"] if metric.needs_reference else []), *(["noisy"] if metric.needs_noisy else [])]
        cells = (
            f"`{name}`",
            metric.unit,
            f"{metric.low:g} … {metric.high:g}",
            metric.direction.value,
            f"{metric.floor:g}",
            rates,
            ", ".join(needs) or "-",
            f"{metric.title}. {metric.source}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def definitions_text() -> str:
    rows = ["| name | which definition it is | good for | fooled by |", "| --- | --- | --- | --- |"]
    for name, metric in METRICS.items():
        if metric.definition:
            rows.append(
                f"| `{name}` | {metric.definition} | {metric.good_for or '-'} | {metric.fooled_by or '-'} |"
            )
    return "\n".join(rows)


def rewards_text() -> str:
    rows = ["| competition | to the winner | to the others | metrics that pay |", "| --- | ---: | ---: | --- |"]
    for competition in PUBLISHED:
        paying = ", ".join(f"{metric_name(name)} {w:g}" for name, w in competition.metric_weights.items())
        rows.append(f"| `{competition.id}` | {competition.max_score:g} | {competition.remainder:g} | {paying} |")
    return "\n".join(rows)


def rooms_text() -> str:
    rooms = picture().partition("\n")[2]  # The number of modules changes every day.
    return f"```text\n{rooms}\n```"


def executor_rules_text() -> str:
    """Each rule of the executor with its value in every profile."""
    profiles = {profile: asdict(executor_rules(profile)) for profile in Profile}
    rows = [f"| key | {' | '.join(profiles)} |", "| --- |" + " ---: |" * len(profiles)]
    for name in profiles[Profile.SOUNDSRIGHT]:
        if name != "profile":
            rows.append(f"| `{name}` | {' | '.join(f'{values[name]:g}' for values in profiles.values())} |")
    return "\n".join(rows)


def federation_rules_text() -> str:
    """Each rule of a federation with its default."""
    values = asdict(federation_rules())
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    texts = {name: toml_text(value) if isinstance(value, bool) else f"{value:g}" for name, value in numbers.items()}
    rows = [f"| `{name}` | {text} |" for name, text in texts.items()]
    return "\n".join(["| key | default |", "| --- | ---: |", *rows])


def tiers_rules_text() -> str:
    """Each rule of tiers, besides the table, with its value in every profile."""
    profiles = [tiers_rules(profile) for profile in Profile]
    rows = [f"| key | {' | '.join(rules.profile for rules in profiles)} |", "| --- |" + " ---: |" * len(profiles)]
    for name in TIERS_KEYS:
        if name != "profile":
            rows.append(f"| `{name}` | {' | '.join(f'{getattr(rules, name):g}' for rules in profiles)} |")
    return "\n".join(rows)


def tiers_table_text() -> str:
    """The table of the tiers."""
    rows = [f"| tier | {' | '.join(f'`{name}`' for name in TIER_RANGES)} |"]
    rows.append("| --- |" + " ---: |" * len(TIER_RANGES))
    for tier in tiers_rules().table:
        rows.append(f"| {tier.name} | {' | '.join(f'{getattr(tier, name):g}' for name in TIER_RANGES)} |")
    return "\n".join(rows)


def _escaped(text: str) -> str:
    """Text for a Markdown table or paragraph."""
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


REGIONS: dict[str, Callable[[], str]] = {
    "commands": commands_text,
    "settings-shared": lambda: settings_text(MinerSettings, shared=True),
    "settings-miner": lambda: settings_text(MinerSettings, shared=False),
    "settings-validator": lambda: settings_text(ValidatorSettings, shared=False),
    "settings-executor": lambda: settings_text(ExecutorSettings, shared=False, base=ValidatorSettings),
    "settings-federation": lambda: settings_text(FederationSettings, shared=False, base=ValidatorSettings),
    "settings-tiers": lambda: settings_text(TiersFields, shared=False),
    "executor-rules": executor_rules_text,
    "federation-rules": federation_rules_text,
    "tiers-rules": tiers_rules_text,
    "tiers-table": tiers_table_text,
    "refusal-codes": refusals_text,
    "metrics": metrics_text,
    "definitions": definitions_text,
    "rewards": rewards_text,
    "rooms": rooms_text,
}


def renewed(page: str) -> str:
    """The page with its generated parts written again."""
    return _REGION.sub(lambda match: f"{match[1]}{REGIONS[match[2]]()}\n{match[3]}", page)


def outdated(docs: Path = ROOT / "docs") -> dict[Path, str]:
    """The pages, and the picture of the rooms, that do not match the code, each with its new text."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(docs.rglob("*.md"))}
    pages = {path: right for path, text in texts.items() if (right := renewed(text)) != text}
    picture_file, svg = docs / "assets" / "rooms.svg", rooms_svg()
    if not picture_file.exists() or picture_file.read_text(encoding="utf-8") != svg:
        pages[picture_file] = svg
    return pages


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the generated parts of docs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    pages = outdated()
    for path, text in pages.items():
        sys.stdout.write(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}\n")
        if not check:
            path.write_text(text, encoding="utf-8")
    sys.exit(check and bool(pages))


if __name__ == "__main__":
    main()
