"""The report of a scored folder and its lines: their structure, and reading them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.core.errors import UsageError
from soundsright.core.groups import ClipGroups
from soundsright.core.results import ClipResult, Failure
from soundsright.services.scoring.folder import (
    FileDigests,
    ScoredClip,
    ScoreOptions,
    score_files,
    score_set,
    scored_clip,
)
from soundsright.services.scoring.report import (
    ScoreReport,
    checked_targets,
    clip_line,
    read_clip_lines,
    read_report,
    report_json,
    summaries,
    write_parquet,
)

RESULTS = (
    ClipResult("a", scores={"STOI": 0.9}),
    ClipResult("b", failure=Failure("missing", "no enhanced file")),
)


REPORT = ScoreReport(
    RESULTS,
    (FileDigests("c0", "e0", "n0"), FileDigests("c1")),
    16_000,
    align=False,
    groups=ClipGroups(("a", "b"), {"noise": ("rain", "wind")}),
    versions={"soundsright": "1.0"},
)


def test_the_report_has_its_documented_structure() -> None:
    report = json.loads(report_json(REPORT, ["STOI"]))
    assert set(report) == {"sample_rate_hz", "align", "versions", "metrics", "clips"}
    assert set(report["metrics"]["STOI"]) == {
        "mean",
        "low",
        "high",
        "median",
        "n",
        "failed",
        "effective_n",
        "undefined",
        "mean_defined",
        "n_defined",
    }
    assert report["metrics"]["STOI"]["low"] is None, "two groups give no interval"
    first, second = report["clips"]
    assert first == {
        "id": "a",
        "scores": {"STOI": 0.9},
        "failure": None,
        "sha256": {"clean": "c0", "enhanced": "e0", "noisy": "n0"},
        "groups": {"noise": "rain"},
    }
    assert second["failure"] == {"code": "missing", "detail": "no enhanced file"}
    assert second["sha256"] == {"clean": "c1"}


def test_an_interval_stays_inside_the_metrics_range() -> None:
    summary = summaries([ClipResult(str(i), scores={"STOI": v}) for i, v in enumerate((1.0, 0.2))], ["STOI"])[
        "STOI"
    ]
    assert summary.low is not None
    assert summary.high is not None
    assert -1.0 <= summary.low <= summary.high <= 1.0


def test_a_report_and_its_lines_are_read_back(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(report_json(REPORT, ["STOI"]))
    assert read_report(tmp_path / "r.json") == REPORT
    lines = [ScoredClip(clip, "00", files, False) for clip, files in zip(RESULTS, REPORT.files, strict=True)]
    (tmp_path / "r.jsonl").write_text("".join(map(clip_line, lines)))
    assert read_report(tmp_path / "r.jsonl") == ScoreReport(RESULTS, REPORT.files, align=False)
    assert list(read_clip_lines(tmp_path / "r.jsonl").values()) == lines


def test_a_report_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"metrics": {}, "clips": [{"id": "a", "scores": {"STOI": 0.9}}]}')
    old = read_report(tmp_path / "old.json")
    assert old.clips == RESULTS[:1]
    assert not old.names_its_files


def test_a_line_cut_by_a_crash_is_left_out(tmp_path: Path) -> None:
    lines = "".join(clip_line(ScoredClip(clip, "00")) for clip in RESULTS)
    (tmp_path / "r.jsonl").write_text(lines[:-20])
    assert list(read_clip_lines(tmp_path / "r.jsonl")) == ["a"]
    (tmp_path / "r.jsonl").write_text("x\n" + lines)
    with pytest.raises(UsageError, match="line 1"):
        read_clip_lines(tmp_path / "r.jsonl")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"clips": []}', '{"clips": [{"id": 1}]}', '{"clips": [{"id": "a", "scores": {"STOI": NaN}}]}',
     '{"clips": [{"id": "a", "scores": {"STOI": 1}}, {"id": "a", "scores": {"STOI": 1}}]}', "\x00", "[" * 100_000,
     '{"clips": [{"id": "a", "scores": {"STOI": 1' + "0" * 400 + "}}]}",
     '{"clips": [{"id": "a", "scores": {"STOI": 1.7e308}}]}',
     '{"sample_rate_hz": Infinity, "clips": [{"id": "a", "scores": {"STOI": 1}}]}',
     '{"clips": [{"id": "a", "scores": {"STOI": 1}, "groups": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}}]}'],
)  # fmt: skip
def test_another_file_than_a_report_gives_a_one_line_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UsageError, match=r"r\.json"):
        read_report(tmp_path / "r.json")


def test_a_missing_folder_and_one_that_is_not_writable_have_different_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"Make the folder .*gone"):
        checked_targets(tmp_path / "gone" / "r.json")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UsageError, match=r"is not writable\. Change its permissions"):
        checked_targets(tmp_path / "r.json")


def test_parquet_has_a_row_per_clip(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_parquet(tmp_path / "r.parquet", RESULTS, ["STOI"])
    assert parquet.read_table(tmp_path / "r.parquet").to_pylist() == [
        {"id": "a", "STOI": 0.9, "failure_code": None, "failure_detail": None, "undefined": None},
        {
            "id": "b",
            "STOI": None,
            "failure_code": "missing",
            "failure_detail": "no enhanced file",
            "undefined": None,
        },
    ]


def test_an_old_report_with_clusters_is_still_read(tmp_path: Path) -> None:
    rows = [{"id": c, "scores": {"STOI": 0.5}, "failure": None, "cluster": f"s{c}"} for c in "ab"]
    (tmp_path / "r.json").write_text(json.dumps({"metrics": {}, "clips": rows}))
    assert read_report(tmp_path / "r.json").groups == ClipGroups(("a", "b"), {"cluster": ("sa", "sb")})


def test_clips_of_one_group_widen_the_interval() -> None:
    clips = [ClipResult(str(i), scores={"STOI": v}) for i, v in enumerate((0.5, 0.5, 0.7, 0.7, 0.9, 0.9))]
    groups = ClipGroups(tuple("012345"), {"noise": tuple("aabbcc")})
    plain, grouped = (summaries(clips, ["STOI"], each)["STOI"] for each in (None, groups))
    assert grouped.mean == plain.mean
    assert grouped.half_width is not None
    assert plain.half_width is not None
    assert grouped.half_width > plain.half_width
    assert plain.effective_n is None
    assert grouped.effective_n is not None
    assert 1 <= grouped.effective_n < 6


def test_one_clip_has_no_interval() -> None:
    summary = summaries([ClipResult("0", scores={"STOI": 0.5})], ["STOI"])["STOI"]
    assert (summary.mean, summary.low, summary.high) == (0.5, None, None)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"clips": ' + "9" * 5_000 + "}", r'{"clips": "\udc00"}', "{\0}"])
def test_a_damaged_report_ends_in_a_sentence(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"report{suffix}"
    path.write_text(text)
    with pytest.raises(UsageError, match="report") as told:
        read_report(path)
    assert len(str(told.value)) < 500


def test_a_report_with_a_byte_order_mark_and_blank_lines_is_read(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    (clip, *_), options = score_set(*folders).clips, ScoreOptions(("SI_SDR",))
    (result, *_) = score_files(score_set(*folders), options)
    path = tmp_path / "clips.jsonl"
    path.write_text("\ufeff" + clip_line(scored_clip(clip, result, options)) + "\n\n", encoding="utf-8")
    assert read_report(path).clips == (result,)
    assert read_clip_lines(path)["a"].result == result


def test_a_line_cut_within_a_character_is_left_out(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    (clip, *_), options = score_set(*folders).clips, ScoreOptions(("SI_SDR",))
    (result, *_) = score_files(score_set(*folders), options)
    path = tmp_path / "clips.jsonl"
    path.write_bytes(clip_line(scored_clip(clip, result, options)).encode() + '{"id": "é'.encode()[:-1])
    assert list(read_clip_lines(path)) == ["a"]
