"""Listening to two entries: synchronous playback, equal levels, keyboard, and missing clips."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visit, served, until
from tests.services.records.deletion import CLIP, DELETED_S, write_deletion

if TYPE_CHECKING:
    from playwright.sync_api import Page

EARS = "r/first/DENOISING_16000HZ/ears.html"
PAIR = "#a=1-alpine&b=2-brook"
LOADED = "document.body.dataset.loaded"

# Renders the audio graph of the page offline. B is A with reversed sign, and is switched on halfway.
RENDER = """async () => {
  const rate = 16000, n = rate, noise = new Float32Array(n);
  let x = 1;
  for (let i = 0; i < n; i++) { x = (x * 16807) % 2147483647; noise[i] = x / 2147483647 - .5; }
  const offline = new OfflineAudioContext(1, n, rate);
  const buffer = (sign) => {
    const made = new AudioBuffer({length: n, sampleRate: rate});
    made.copyToChannel(noise.map(v => sign * v), 0);
    return made;
  };
  const tracks = new Map([["A", buffer(1)], ["B", buffer(-1)]]), gains = new Map([["A", 1], ["B", 1]]);
  const nodes = Player.graph(offline, tracks, {heard: "A", gains, when: 0, offset: 0, loop: LOOP});
  nodes.get("A").gain.gain.setValueAtTime(0, .5);
  nodes.get("B").gain.gain.setValueAtTime(1, .5);
  const heard = (await offline.startRendering()).getChannelData(0);
  let worst = 0;
  for (let i = 0; i < n; i++) {
    const expected = (i < n / 2 ? 1 : -1) * noise[LOOP ? i % 4000 : i];
    worst = Math.max(worst, Math.abs(heard[i] - expected));
  }
  return worst;
}"""


@pytest.fixture(params=["disk", "server"])
def ears(request: pytest.FixtureRequest, visit: Callable[..., Visit]) -> Page:
    """The listening page of two entries, loaded from a disk and from a server."""
    base = request.getfixturevalue("site" if request.param == "disk" else "server")
    page = visit(base).open(base + EARS + PAIR)
    until(page, LOADED)
    return page


def position(page: Page) -> float:
    return float(page.evaluate("Ears.player.position()"))


@pytest.mark.parametrize("loop", ["null", "{from: 0, to: .25}"])
def test_tracks_are_synchronous_to_the_sample(ears: Page, loop: str) -> None:
    assert ears.evaluate(RENDER.replace("LOOP", loop)) < 1e-6


def test_switching_keeps_the_position(ears: Page) -> None:
    """The position follows the audio clock, independent of the audible track."""
    ears.locator("#play").click()
    until(ears, "Ears.player.playing && Ears.player.position() > 0.05")
    both = """() => ({clock: Ears.player.context.currentTime, at: Ears.player.position(), heard: Ears.player.heard,
        sources: new Set([...Ears.player.nodes.values()].map(n => n.source)).size})"""
    before = ears.evaluate(both)
    nodes = ears.evaluate_handle("[...Ears.player.nodes.values()].map(n => n.source)")
    for key in "3424":
        ears.keyboard.press(key)
    after = ears.evaluate(both)
    assert after["heard"] == "B"
    # Playback loops, so it may have restarted while the keys were pressed.
    loop_s = ears.evaluate("Ears.player.duration")
    off_s = after["at"] - before["at"] - (after["clock"] - before["clock"])
    assert off_s - loop_s * round(off_s / loop_s) == pytest.approx(0.0, abs=1e-6)
    same = "old => [...Ears.player.nodes.values()].every((n, i) => n.source === old[i])"
    assert ears.evaluate(same, nodes), "no source was restarted"


def test_every_track_has_the_level_of_the_clean_signal(ears: Page) -> None:
    levels = ears.evaluate(
        """() => {
          const {tracks, gains, rate} = Ears.player, clean = tracks.get("clean").getChannelData(0);
          return [...tracks].map(([name, b]) => [name, Spectrogram.levelGainDb(
            clean.map(v => v * gains.get("clean")), b.getChannelData(0).map(v => v * gains.get(name)), rate)]);
        }"""
    )
    assert len(levels) == 4
    assert all(abs(gain_db) < 0.1 for _, gain_db in levels)
    gain = ears.evaluate("20 * Math.log10(Ears.player.gains.get('B') / Ears.player.gains.get('A'))")
    assert gain == pytest.approx(12.0, abs=0.5), "the output of brook is 12 dB too low"
    ears.keyboard.press("m")
    assert ears.evaluate("[...Ears.player.gains.values()]") == [1, 1, 1, 1]


def test_the_keyboard_plays_seeks_loops_and_changes_the_clip(ears: Page) -> None:
    ears.keyboard.press("Space")
    until(ears, "Ears.player.playing")
    ears.keyboard.press("Space")
    assert not ears.evaluate("Ears.player.playing")
    ears.evaluate("Ears.player.seek(0.5)")
    ears.keyboard.press("[")
    assert ears.evaluate("Ears.player.part.from") == pytest.approx(0.5)
    ears.keyboard.press("ArrowRight")
    assert position(ears) == pytest.approx(1.0)
    ears.keyboard.press("l")
    assert ears.locator("#loop").get_attribute("aria-pressed") == "false"
    ears.keyboard.press("x")
    assert ears.evaluate("Ears.player.heard") == "A"
    ears.keyboard.press("x")
    assert ears.evaluate("Ears.player.heard") == "B"
    first = ears.locator("#clip-title").inner_text()
    ears.keyboard.press("j")
    assert ears.locator("#clip-title").inner_text() != first
    ears.keyboard.press("k")
    assert ears.locator("#clip-title").inner_text() == first


def test_dragging_over_a_spectrogram_loops_that_part(ears: Page) -> None:
    over = ears.locator(".over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    ears.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 20)
    ears.mouse.down()
    ears.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 20)
    ears.mouse.up()
    part = ears.evaluate("Ears.player.part")
    assert part["from"] == pytest.approx(0.2, abs=0.02)
    assert part["to"] == pytest.approx(0.6, abs=0.02)
    ears.locator("#play").click()
    until(ears, "Ears.player.playing")
    ears.wait_for_timeout(700)
    assert 0.19 <= position(ears) <= 0.61


def test_five_spectrograms_are_drawn_and_the_difference_is_not_flat(ears: Page) -> None:
    drawn = ears.eval_on_selector_all(
        "#views canvas:not(.over)",
        """els => els.map((c) => {
          const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, sum = [0, 0, 0];
          data.forEach((value, i) => { if (i % 4 < 3) sum[i % 4] += value; });
          return [new Set(data).size, sum[0], sum[2]];
        })""",
    )
    assert len(drawn) == 5
    assert min(shades for shades, _, _ in drawn) > 20
    _, red, blue = drawn[-1]
    assert red > blue, "B left more noise than A, so its colour dominates"


@pytest.fixture(params=["disk", "server"])
def deletion(request: pytest.FixtureRequest, visit: Callable[..., Visit], tmp_path: Path) -> Iterator[Page]:
    """The listening page of a run in which A deletes a part of the speech, at that clip."""
    from soundsright.services.board.build import build_site
    from soundsright.services.board.server import LiveSite, board_app
    from soundsright.services.records.runs import read_run

    folder = write_deletion(tmp_path / "first")
    with ExitStack() as stack:
        if request.param == "disk":
            build_site([read_run(folder, "first")], tmp_path / "out", audio_bytes=64 << 20)
            base = (tmp_path / "out").as_uri() + "/"
        else:
            base = stack.enter_context(served(board_app(LiveSite([folder], live=False))))
        page = visit(base).open(f"{base}{EARS}{PAIR}&clip={CLIP}")
        until(page, LOADED)
        yield page


# The columns of the overlay of a track that are white from top to bottom, as parts of its width.
WHITE = """(track) => {
  const over = document.querySelector(`figure[data-track="${track}"] .over`), {width, height} = over;
  const data = over.getContext("2d").getImageData(0, 0, width, height).data, white = [];
  for (let x = 0; x < width; x++) {
    let all = true;
    for (let y = 4; y < height - 4; y++) {
      const i = 4 * (y * width + x);
      all = all && data[i] > 200 && data[i + 3] > 200;
    }
    if (all) white.push(x / width);
  }
  return white;
}"""


def test_a_place_that_looks_hallucinated_is_named_framed_and_looped(deletion: Page) -> None:
    places = deletion.locator(".places button")
    assert places.count() == 1, "only A deletes speech"
    assert deletion.locator('figure[data-track="A"] .places button').count() == 1
    assert places.inner_text().endswith("s: speech is missing")
    deletion.evaluate("Ears.player.seek(Ears.player.duration - .1)")  # The line of the position is white too.
    deletion.wait_for_timeout(100)
    duration_s = deletion.evaluate("Ears.player.duration")
    framed_s = [x * duration_s for x in deletion.evaluate(WHITE, "A") if (x + 0.01) * duration_s < duration_s - 0.1]
    assert framed_s[0] == pytest.approx(DELETED_S[0], abs=0.1)
    assert framed_s[-1] == pytest.approx(DELETED_S[1], abs=0.1)
    assert len(framed_s) < 20, "a frame, not an area"
    around = [x for track in ("B", "clean") for x in deletion.evaluate(WHITE, track)]
    assert all((x + 0.01) * duration_s >= duration_s - 0.1 for x in around), "no other track is framed"
    places.click()
    part = deletion.evaluate("Ears.player.part")
    assert part["from"] == pytest.approx(DELETED_S[0] - 0.5, abs=0.1)
    assert part["to"] == pytest.approx(DELETED_S[1] + 0.5, abs=0.1)
    assert deletion.locator("#loop").get_attribute("aria-pressed") == "true"


def test_a_clip_without_such_places_names_none(deletion: Page) -> None:
    deletion.keyboard.press("j")
    until(deletion, f"document.body.dataset.loaded && document.body.dataset.loaded !== '{CLIP}'")
    assert deletion.locator(".places").count() == 0


def test_a_failed_clip_shows_a_message_and_the_rest_plays(visit: Callable[..., Visit], server: str) -> None:
    page = visit(server).open(server + EARS + "#a=1-alpine&b=3-cedar&clip=000001")
    until(page, LOADED)
    assert "B failed on this clip (timeout)" in page.inner_text("#say")
    assert page.locator("#switches button").nth(3).is_disabled()
    assert not page.locator("#play").is_disabled()
    assert "timeout" in page.inner_text("#scores")


def test_a_broken_clip_shows_a_message_and_the_rest_plays(
    visit: Callable[..., Visit], run_folder: Path, tmp_path: Path
) -> None:
    from soundsright.services.board.build import build_site
    from soundsright.services.records.runs import read_run

    folder = shutil.copytree(run_folder, tmp_path / "first")
    (folder / "enhanced" / "1-alpine" / "000002.wav").write_bytes(b"RIFF and no more")
    built = build_site([read_run(folder, "first")], tmp_path / "out", audio_bytes=64 << 20)
    assert any("000002.wav" in note for note in built.notes)
    base = (tmp_path / "out").as_uri() + "/"
    page = visit(base).open(base + EARS + PAIR + "&clip=000002")
    until(page, LOADED)
    assert "A: this clip cannot be played" in page.inner_text("#say")
    assert page.evaluate("[...Ears.player.tracks.keys()]") == ["clean", "degraded", "B"]


def test_clips_beyond_the_size_limit_have_no_audio_and_a_message(
    visit: Callable[..., Visit], run_folder: Path, tmp_path: Path
) -> None:
    from soundsright.services.board.build import build_site
    from soundsright.services.records.runs import read_run

    built = build_site([read_run(run_folder, "first")], tmp_path / "out", audio_bytes=400_000)
    assert 0 < built.clips_heard < 6
    assert built.audio_bytes <= 400_000
    base = (tmp_path / "out").as_uri() + "/"
    page = visit(base).open(base + EARS + PAIR)
    until(page, LOADED)
    assert page.locator("#clips small").count() == built.clips_silent
    page.locator("#clips [role=option]").last.click()
    until(page, "document.querySelector('#say').textContent.includes('no audio')")
