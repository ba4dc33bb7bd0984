"""The template's server, tested over its socket as the harness uses it."""

from __future__ import annotations

import io
import os
import re
import socket
import zipfile
from collections.abc import Callable, Mapping

import httpx
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundsright.core.audio import on_pcm16_grid, pcm16
from tests.models.conftest import ImportModel, Serve

Samples = NDArray[np.float32]


def noise(seconds: float, sample_rate_hz: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    return on_pcm16_grid(0.1 * rng.standard_normal(int(seconds * sample_rate_hz)))


def wav(samples: Samples, sample_rate_hz: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm16(samples), sample_rate_hz, format="WAV")
    return file.getvalue()


def upload(client: httpx.Client, files: Mapping[str, bytes]) -> httpx.Response:
    return client.post("/upload-audio/", files=[("files", (n, data, "audio/wav")) for n, data in files.items()])


def download(client: httpx.Client) -> dict[str, tuple[Samples, int, str]]:
    """Samples, rate and subtype of each enhanced file."""
    answer = client.get("/download-enhanced/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    enhanced = {}
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        for name in archive.namelist():
            with soundfile.SoundFile(io.BytesIO(archive.read(name))) as file:
                enhanced[name] = (file.read(dtype="float32"), file.samplerate, file.subtype)
    return enhanced


def enhance(client: httpx.Client, clips: Mapping[str, Samples], rate_hz: int = 16_000) -> dict[str, Samples]:
    """The whole protocol for one batch."""
    assert client.post("/prepare/").json() == {"preparations": True}
    answer = upload(client, {name: wav(samples, rate_hz) for name, samples in clips.items()})
    assert answer.json() == {"uploaded_files": list(clips), "status": True}
    assert client.post("/enhance/").json() == {"status": True}
    return {name: samples for name, (samples, _, _) in download(client).items()}


def test_the_protocol_brings_every_clip_back_under_its_name_rate_and_length(serve: Serve) -> None:
    clips = {"000017.wav": noise(1.0, 48_000, seed=1), "000018.wav": noise(0.3, 48_000, seed=2)}
    with serve("template") as client:
        enhance(client, clips, 48_000)
        enhanced = download(client)
    assert enhanced.keys() == clips.keys()
    for name, (samples, rate_hz, subtype) in enhanced.items():
        assert (rate_hz, subtype) == (48_000, "PCM_16")
        np.testing.assert_array_equal(samples, clips[name])


@pytest.mark.usefixtures("published_port")
def test_without_a_socket_it_listens_on_tcp_port_6500(serve: Serve) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", 6500))
        except OSError:
            pytest.skip("another program listens on port 6500")
    clips = {"000001.wav": noise(0.2, 16_000, seed=3)}
    with serve("template", unix_socket=False) as client:
        np.testing.assert_array_equal(enhance(client, clips)["000001.wav"], clips["000001.wav"])


def test_after_a_reset_only_the_second_batch_comes_back(serve: Serve) -> None:
    first, second = noise(0.2, 16_000, seed=4), noise(0.2, 16_000, seed=5)
    with serve("template") as client:
        enhance(client, {"000001.wav": first, "000002.wav": first})
        assert client.post("/reset/").json() == {"status": True}
        assert download(client) == {}
        enhanced = enhance(client, {"000002.wav": second})
    assert list(enhanced) == ["000002.wav"]
    np.testing.assert_array_equal(enhanced["000002.wav"], second)


def test_a_file_sent_again_replaces_the_first(serve: Serve) -> None:
    first, second = noise(0.2, 16_000, seed=6), noise(0.2, 16_000, seed=7)
    with serve("template") as client:
        enhance(client, {"000001.wav": first})
        np.testing.assert_array_equal(enhance(client, {"000001.wav": second})["000001.wav"], second)


def test_a_name_that_is_more_than_a_plain_wav_name_is_refused_with_the_whole_upload(serve: Serve) -> None:
    with serve("template") as client:
        for name in (
            "../a.wav",
            "/etc/a.wav",
            "a/b.wav",
            "a\\b.wav",
            "..",
            ".a.wav",
            "a.wav\0",
            "a.txt",
            "a" * 200 + ".wav",
        ):
            answer = upload(client, {"000001.wav": wav(noise(0.1, 16_000, seed=8)), name: b"RIFF"})
            assert answer.status_code == 400, name
            assert "is not the plain name of a WAV file" in answer.json()["detail"]
        assert client.post("/enhance/").json() == {"status": True}
        assert download(client) == {}


def test_a_real_model_answers_through_the_server_as_it_does_in_python(
    serve: Serve, import_model: ImportModel
) -> None:
    clip = noise(1.0, 16_000, seed=9)
    model = import_model("dtln")
    with serve("dtln") as client:
        enhanced = enhance(client, {"000001.wav": clip})["000001.wav"]
    np.testing.assert_array_equal(enhanced, on_pcm16_grid(model.enhance(clip, 16_000)))


def test_the_degraded_entry_returns_its_input_to_the_bit(serve: Serve) -> None:
    clip = noise(0.5, 16_000, seed=10)
    with serve("degraded") as client:
        np.testing.assert_array_equal(enhance(client, {"a.wav": clip})["a.wav"], clip)


def test_the_truncator_returns_half_a_second_too_little(serve: Serve) -> None:
    clip = noise(2.0, 16_000, seed=11)
    with serve("truncator") as client:
        assert len(enhance(client, {"a.wav": clip})["a.wav"]) == len(clip) - 8_000


def test_the_nan_maker_returns_nan_in_every_clip_and_the_harness_can_see_it(serve: Serve) -> None:
    with serve("nan-maker") as client:
        enhance(client, {"a.wav": noise(0.5, 16_000, seed=12)})
        samples, _, subtype = download(client)["a.wav"]
    assert subtype == "FLOAT"
    assert np.isnan(samples).sum() == 1


def test_the_crasher_is_gone_after_the_first_clip(serve: Serve) -> None:
    clip = wav(noise(0.2, 16_000, seed=13))
    with serve("crasher") as client:
        upload(client, {"a.wav": clip})
        assert client.post("/enhance/").json() == {"status": True}
        upload(client, {"b.wav": clip})
        with pytest.raises(httpx.TransportError):
            client.post("/enhance/")


def test_a_model_is_loaded_once(import_model: ImportModel, monkeypatch: pytest.MonkeyPatch) -> None:
    server, model = import_model("template", "server"), import_model("template")
    server.load_model.cache_clear()
    loads: list[str] = []

    def load() -> None:
        loads.append("once")
        if len(loads) == 1:
            raise OSError("the weights are not there yet")

    monkeypatch.setattr(model, "load", load, raising=False)
    with pytest.raises(OSError, match="not there yet"):
        server.load_model()
    for name in ("a.wav", "b.wav"):
        server.enhance_files({name: wav(noise(0.1, 16_000, seed=1), 16_000)})
    assert len(loads) == 2  # The failed one, and one that succeeded.


def test_a_model_with_a_batch_function_gets_all_clips_of_one_rate_at_once(
    import_model: ImportModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, model = import_model("template", "server"), import_model("template")
    calls: list[tuple[int, int]] = []

    def enhance_batch(clips: list[NDArray[np.float32]], sample_rate: int) -> list[NDArray[np.float32]]:
        calls.append((len(clips), sample_rate))
        return [-clip for clip in clips]

    monkeypatch.setattr(model, "enhance_batch", enhance_batch, raising=False)
    clips = {f"{i}.wav": (noise(0.1, rate, seed=i), rate) for i, rate in enumerate((16_000, 48_000, 16_000))}
    enhanced = server.enhance_files({name: wav(*clip) for name, clip in clips.items()})
    assert calls == [(2, 16_000), (1, 48_000)]
    for name, (samples, rate_hz) in clips.items():
        np.testing.assert_array_equal(server.read_wav(enhanced[name])[0], -samples)
        assert server.read_wav(enhanced[name])[1] == rate_hz


def test_samples_beyond_full_scale_are_clipped(import_model: ImportModel) -> None:
    server = import_model("template", "server")
    samples, _ = server.read_wav(server.write_wav(np.array([1.5, -1.5, 0.25], np.float32), 16_000))
    assert samples.tolist() == [32767 / 32768, -1.0, 0.25]


def test_a_missing_package_is_named_with_the_remedy(import_model: ImportModel) -> None:
    runtime = import_model("template", "runtime")
    with pytest.raises(ModuleNotFoundError, match=r"needs the package no_such_package\. Run pip install"):
        runtime.package_file("no_such_package", "weights.bin")


def test_the_granted_threads_reach_numerical_libraries_unless_set_already(
    import_model: ImportModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = import_model("template", "runtime")
    monkeypatch.setenv("SOUNDSRIGHT_CPUS", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.environ", dict(os.environ))
    runtime.limit_threads()
    assert runtime.cpus() == 2
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]) == ("1", "2")


class Tensor:
    """What the server uses of a tensor of PyTorch on a GPU in half precision, a type that NumPy cannot read."""

    def __init__(self, samples: Samples, steps: tuple[str, ...] = ()) -> None:
        self.samples, self.steps = samples, steps

    def detach(self) -> Tensor:
        return Tensor(self.samples, (*self.steps, "detach"))

    def cpu(self) -> Tensor:
        return Tensor(self.samples, (*self.steps, "cpu"))

    def is_floating_point(self) -> bool:
        return True

    def float(self) -> Tensor:
        return Tensor(self.samples, (*self.steps, "float"))

    def __array__(self, *_: object, **__: object) -> Samples:
        if self.steps != ("detach", "cpu", "float"):
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.samples


FORMS: dict[str, Callable[[Samples], object]] = {
    "(1, n)": lambda x: x[None, :],
    "(n, 1)": lambda x: x[:, None],
    "float64": lambda x: x.astype(np.float64),
    "float16, as loud as it can be": lambda x: np.where(x > 0, 1.0, -1.0).astype(np.float16),
    "a list": lambda x: x.tolist(),
    "a tensor": lambda x: Tensor(x),
    "a tensor of shape (1, n)": lambda x: Tensor(x[None, :]),
}


@pytest.mark.parametrize("name", ["enhance", "enhance_batch"])
@pytest.mark.parametrize("form", FORMS)
def test_one_channel_comes_back_whatever_array_the_model_returns(
    form: str, name: str, import_model: ImportModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned = FORMS[form]
    server, model = import_model("template", "server"), import_model("template")
    batch = {"enhance": lambda x, rate: returned(x), "enhance_batch": lambda xs, rate: [returned(x) for x in xs]}
    monkeypatch.setattr(model, name, batch[name], raising=False)
    clip = noise(0.1, 16_000, seed=14)
    (data,) = server.enhance_files({"a.wav": wav(clip)}).values()
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    expected = np.where(clip > 0, 32_767 / 32_768, -1.0) if "loud" in form else clip
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (
            lambda x: np.stack([x, x]),
            r"enhance returned the shape (2, 1600) for a clip of shape (1600,). Return one",
        ),
        (lambda x: x[None, None], "the shape (1, 1, 1600) for a clip of shape (1600,)"),
        (lambda x: np.float32(0), "the shape () for a clip"),
        (lambda x: None, "enhance returned None. End it with a `return`"),
        (lambda x: (x * 32_767).astype(np.int16), "samples of type int16 in a numpy.ndarray. Return floats"),
        (lambda x: x.astype(np.complex64), "samples of type complex64"),
        (lambda x: {"audio": x}, "samples of type object in a dict. Return floats"),
        (lambda x: "enhanced.wav", "in a str. Return floats"),
        (lambda x: [[0.0], [0.0, 1.0]], "enhance returned a list, which is no array"),
    ],
)
def test_what_is_no_channel_is_named_in_one_sentence(
    returned: Callable[[Samples], object], says: str, import_model: ImportModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = import_model("template", "server")
    monkeypatch.setattr(import_model("template"), "enhance", lambda x, rate: returned(x))
    with pytest.raises((TypeError, ValueError), match=re.escape(says)):
        server.enhance_files({"a.wav": wav(noise(0.1, 16_000, seed=15))})


def test_a_batch_function_that_loses_a_clip_is_told_how_many(
    import_model: ImportModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, model = import_model("template", "server"), import_model("template")
    monkeypatch.setattr(model, "enhance_batch", lambda clips, rate: clips[1:], raising=False)
    with pytest.raises(ValueError, match="enhance_batch returned 1 signals for 2 clips"):
        server.enhance_files({name: wav(noise(0.1, 16_000, seed=16)) for name in ("a.wav", "b.wav")})


def test_samples_that_are_not_finite_are_counted_in_the_log(
    import_model: ImportModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = import_model("template", "server")
    monkeypatch.setattr(import_model("template"), "enhance", lambda x, rate: np.full((1, len(x)), np.inf))
    (data,) = server.enhance_files({"a.wav": wav(noise(0.1, 16_000, seed=17))}).values()
    assert "NaN or infinity in 1600 of 1600 samples" in capsys.readouterr().out
    assert soundfile.info(io.BytesIO(data)).channels == 1
