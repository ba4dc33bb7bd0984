"""A federation's table for tests: four honest validators, one that lies, and names that strangers chose."""

from __future__ import annotations

from pathlib import Path

from soundsright.adapters.peers import Hotkey
from soundsright.services.records import (
    AUDIO_FOLDER,
    FederationTable,
    TableRank,
    TableRate,
    TableRow,
    TableTask,
    TableTurn,
    TurnState,
    write_federation_table,
)

COMPETITION = "DENOISING_16000HZ"
HOSTILE = "<img src=x onerror=alert(1)>"
VALIDATORS = tuple(sorted(Hotkey.of_seed(f"validator-{number}").address for number in range(5)))
MINERS = tuple(Hotkey.of_seed(f"miner-{number}").address for number in range(3))
LIAR = VALIDATORS[4]
FIRST_TASK = 1129


def usual_table(*, clips: tuple[str, ...] = ("000", "001")) -> FederationTable:
    """The table of 100 tasks; `clips` are those of its two task pages."""
    turns = []
    for task in range(FIRST_TASK, FIRST_TASK + 100):
        state = TurnState.ON_TIME
        if task % 17 == 3:
            state = TurnState.MISSING
            turns.append(turn(task, 1, TurnState.BACKUP))
        if task % 29 == 5:
            state = TurnState.REJECTED
        turns.append(turn(task, 0, state, HOSTILE if state is TurnState.REJECTED else ""))
    turns += [
        turn(FIRST_TASK + 50, 2, TurnState.TWO_VERDICTS),
        turn(FIRST_TASK + 51, 3, TurnState.UNREAD, "timeout"),
    ]
    return FederationTable(
        block=123_457,
        epoch_block=123_300,
        interval=100,
        allowlist="a" * 64,
        rules="b" * 64,
        validators=VALIDATORS,
        turn=VALIDATORS[0],
        window=tuple(range(FIRST_TASK, FIRST_TASK + 100)),
        turns=tuple(turns),
        ranks=(rank(1, 0, 19, 1), rank(2, 1, 12, 12), rank(None, 2, 4, 4)),
        tasks=tuple(judged(task, clips) for task in (1227, 1228)),
        winners={COMPETITION: MINERS[0]},
        weights={MINERS[0]: 1.0},
        names={VALIDATORS[0]: "Aachen", LIAR: "Liar", MINERS[0]: "gtcrn", MINERS[2]: HOSTILE},
        problems=(f"The bucket of {HOSTILE} was not read.",),
    )


def turn(task: int, at: int, state: TurnState, note: str = "") -> TableTurn:
    return TableTurn(task=task, validator=VALIDATORS[(task + at) % 5], state=state, note=note)


def rank(place: int | None, miner: int, passed: int, liars: int) -> TableRank:
    rates = {name: TableRate(passed=liars if name == LIAR else passed, tasks=20) for name in VALIDATORS}
    score = sum(rate.passed / rate.tasks for rate in rates.values()) / len(rates)
    return TableRank(
        competition=COMPETITION,
        rank=place,
        hotkey=MINERS[miner],
        uid=miner,
        block=100 + miner,
        score=score,
        is_eligible=place is not None,
        rates=rates,
        note="" if place is not None else f"judged in 12 of 100 tasks {HOSTILE}",
    )


def judged(task: int, clips: tuple[str, ...]) -> TableTask:
    return TableTask(
        task=task,
        validator=VALIDATORS[task % 5],
        block=task * 100 + 7,
        block_hash="0x" + "c" * 64,
        digest="d" * 64,
        unprocessed={COMPETITION: {"PESQ_WB": 1.5, "ESTOI": 0.6, "SI_SDR": 5.0}},
        rows=tuple(
            TableRow(
                competition=COMPETITION,
                hotkey=hotkey,
                model=f"lab/model-{number}@" + "e" * 40,
                passed=number != 1,
                failures=2 if number == 1 else 0,
                means={"PESQ_WB": 2.0 + number / 10, "ESTOI": 0.7, "SI_SDR": 12.0},
            )
            for number, hotkey in enumerate(MINERS)
        ),
        clips=clips,
    )


def saved_table(folder: Path, table: FederationTable | None = None, *, flac: bytes = b"fLaC") -> Path:
    """The folder with the table and the audio of its tasks."""
    table = table or usual_table()
    write_federation_table(folder, table)
    for task in table.tasks:
        base = folder / AUDIO_FOLDER / str(task.task)
        for place in ("original", *(f"generated/{row.hotkey}" for row in task.rows)):
            (base / place).mkdir(parents=True, exist_ok=True)
            for clip in task.clips:
                (base / place / f"{clip}.flac").write_bytes(flac)
    return folder
