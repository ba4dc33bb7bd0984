"""The web server of the model: the endpoints of the model protocol around `enhance` and `Stream` in `enhance.py`.

    GET  /status/             {"container_running": true}    the server is running
    POST /prepare/            {"preparations": true}         loads the model
    POST /upload-audio/       {"uploaded_files": [...], "status": true}    takes WAV files in the field `files`
    POST /enhance/            {"status": true}               enhances every uploaded file
    GET  /download-enhanced/  a ZIP archive                  returns the enhanced WAV files under the same names
    POST /reset/              {"status": true}               deletes uploads and results
    POST /stream/             101 Switching Protocols        live frames of 16-bit samples, one out for one in

It listens on the Unix socket in SOUNDSRIGHT_SOCKET, or on TCP port 6500 if that is not set. Audio stays in memory,
because the only writable folder of a sandbox is in memory as well.
"""

import functools
import io
import math
import os
import re
import socket
import threading
import zipfile

import uvicorn
from fastapi import FastAPI, HTTPException, Response, UploadFile
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from . import runtime

STREAM_REQUEST = b"POST /stream/ "
STREAM_PROTOCOL = "soundsright-stream/1"
FRAME_MS = 20
MAX_HEAD_BYTES = 8_192
PLAIN_WAV_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.wav")


def create_app() -> FastAPI:
    """The six endpoints over one set of uploads and results."""
    app = FastAPI(title="Speech enhancement model", docs_url=None, redoc_url=None)
    uploaded: dict[str, bytes] = {}
    enhanced: dict[str, bytes] = {}
    lock = threading.Lock()  # Endpoints run in threads, so /status/ answers while /enhance/ works.

    @app.get("/status/")
    def status() -> dict[str, bool | float]:
        return {"container_running": True, **streaming_offer()}

    @app.post("/prepare/")
    def prepare() -> dict[str, bool]:
        with lock:
            load_model()
        return {"preparations": True}

    @app.post("/upload-audio/")
    def upload_audio(files: list[UploadFile]) -> dict[str, list[str] | bool]:
        names = [file.filename or "" for file in files]
        for name in names:
            if not PLAIN_WAV_NAME.fullmatch(name):
                raise HTTPException(
                    400, f"{name!r} is not the plain name of a WAV file. Use a name such as 000017.wav."
                )
        with lock:
            for name, file in zip(names, files, strict=True):
                uploaded[name] = file.file.read()
                enhanced.pop(name, None)
        return {"uploaded_files": names, "status": True}

    @app.post("/enhance/")
    def enhance() -> dict[str, bool]:
        with lock:
            not_enhanced = {name: data for name, data in uploaded.items() if name not in enhanced}
            enhanced.update(enhance_files(not_enhanced))
        return {"status": True}

    @app.get("/download-enhanced/")
    def download_enhanced() -> Response:
        archive = io.BytesIO()
        with lock, zipfile.ZipFile(archive, "w") as bundle:
            for name, data in sorted(enhanced.items()):
                bundle.writestr(zipfile.ZipInfo(name), data)
        return Response(archive.getvalue(), media_type="application/zip")

    @app.post("/reset/")
    def reset() -> dict[str, bool]:
        with lock:
            uploaded.clear()
            enhanced.clear()
        return {"status": True}

    return app


@functools.cache
def load_model() -> None:
    """Call `load` of the model, if it has one. A load that succeeded is not repeated."""
    from . import enhance as model

    if hasattr(model, "load"):
        model.load()


def enhance_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """The enhanced WAV files by name. A model with `enhance_batch` gets all clips of one sample rate at once."""
    from . import enhance as model

    load_model()
    clips = {name: read_wav(data) for name, data in files.items()}
    if not hasattr(model, "enhance_batch"):
        return {
            name: write_wav(one_channel(model.enhance(audio, rate), audio.shape), rate)
            for name, (audio, rate) in clips.items()
        }
    results = {}
    for rate in sorted({rate for _, rate in clips.values()}):
        names = [name for name in clips if clips[name][1] == rate]
        signals = list(model.enhance_batch([clips[name][0] for name in names], rate))
        if len(signals) != len(names):
            raise ValueError(f"enhance_batch returned {len(signals)} signals for {len(names)} clips")
        for name, audio in zip(names, signals, strict=True):
            results[name] = write_wav(one_channel(audio, clips[name][0].shape, "enhance_batch"), rate)
    return results


def streaming_offer() -> dict[str, bool | float]:
    """The fields of `/status/` about streams; none before the model is loaded, or if it has no `Stream`."""
    from importlib import import_module

    if not load_model.cache_info().currsize:
        return {}
    model = import_module(".enhance", __package__)
    return {"streaming": True, "lookahead_ms": model.LOOKAHEAD_MS} if hasattr(model, "Stream") else {}


class Protocol(AutoHTTPProtocol):
    """One connection of the web server. If it asks for a stream, a thread takes it over."""

    head = b""
    is_http = False

    def data_received(self, data: bytes) -> None:
        if self.is_http:
            super().data_received(data)
            return
        self.head += data
        if not self.head.startswith(STREAM_REQUEST[: len(self.head)]):
            self.is_http = True
            super().data_received(self.head)
        elif b"\r\n\r\n" in self.head or len(self.head) > MAX_HEAD_BYTES:
            self.transport.pause_reading()
            # A copy of the connection: the server closes its own.
            connection = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
            threading.Thread(target=serve_stream, args=(connection, self.head), daemon=True).start()
            self.transport.abort()


def serve_stream(connection: socket.socket, request: bytes) -> None:
    """Answer a request for a stream, and enhance its frames until the client ends it."""
    import numpy as np

    from . import enhance as model

    head, _, rest = request.partition(b"\r\n\r\n")
    lines = [line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:]]
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    rate = int(headers.get("x-sample-rate") or 0)
    with connection:
        connection.setblocking(True)
        if headers.get("upgrade") != STREAM_PROTOCOL or rate <= 0 or rest or not streaming_offer():
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        answer = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {STREAM_PROTOCOL}\r\n\r\n"
        connection.sendall(answer.encode())
        stream, samples = model.Stream(rate), rate * FRAME_MS // 1000
        with connection.makefile("rb") as frames:
            while len(frame := frames.read(2 * samples)) == 2 * samples:
                audio = np.frombuffer(frame, "<i2").astype(np.float32) / np.float32(32768)
                connection.sendall(pcm(stream.process(audio)))
        for _ in range(math.ceil(model.LOOKAHEAD_MS / FRAME_MS)):
            connection.sendall(pcm(stream.process(np.zeros(samples, np.float32))))


def pcm(audio) -> bytes:
    """16-bit little-endian samples, rounded as in `write_wav`. NaN becomes silence."""
    import numpy as np

    scaled = np.rint(np.nan_to_num(np.asarray(audio, np.float64)) * 32768.0)
    return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()


def read_wav(data: bytes):
    """The samples as float32 of shape `(n,)`, full scale ±1, and the sample rate in Hz."""
    import soundfile

    return soundfile.read(io.BytesIO(data), dtype="float32")


def one_channel(audio, clip_shape, function: str = "enhance"):
    """What the model returned for a clip, as an array of shape `(n,)`: also from `(1, n)`, `(n, 1)` or a tensor.

    Raises:
        TypeError: it has no real floating-point samples.
        ValueError: it has not exactly one channel.
    """
    import numpy as np

    kind = f"{type(audio).__module__}.{type(audio).__name__}".removeprefix("builtins.")
    if audio is None:
        raise TypeError(f"{function} returned None. End it with a `return` of the enhanced samples.")
    if hasattr(audio, "detach"):  # A tensor of PyTorch, possibly on a GPU or of a type that NumPy lacks.
        audio = audio.detach().cpu()
        audio = audio.float() if audio.is_floating_point() else audio
    try:
        samples = np.asarray(audio)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{function} returned a {kind}, which is no array: {error}") from error
    if samples.dtype.kind != "f":
        raise TypeError(
            f"{function} returned samples of type {samples.dtype} in a {kind}. Return floats of full scale ±1."
        )
    if samples.ndim != 1 and not (samples.ndim == 2 and 1 in samples.shape):
        raise ValueError(
            f"{function} returned the shape {samples.shape} for a clip of shape {clip_shape}. Return one channel: "
            "(n,), (1, n) or (n, 1)."
        )
    return samples.reshape(-1)


def write_wav(audio, sample_rate: int) -> bytes:
    """A 16-bit WAV file, rounded so that samples read from a 16-bit file come out unchanged.

    A clip with NaN or infinite samples is written as floating point, because 16 bits cannot store them. The harness
    then rejects this clip only.
    """
    import numpy as np
    import soundfile

    file = io.BytesIO()
    bad = int(np.count_nonzero(~np.isfinite(audio)))
    if not bad:
        audio = np.clip(np.rint(audio.astype(np.float64) * 32768.0), -32768, 32767).astype(np.int16)
        soundfile.write(file, audio, sample_rate, format="WAV", subtype="PCM_16")
    else:
        print(f"The model returned NaN or infinity in {bad} of {audio.size} samples of a clip.", flush=True)
        soundfile.write(file, audio.astype(np.float32), sample_rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def main() -> None:
    runtime.limit_threads()
    path = os.environ.get("SOUNDSRIGHT_SOCKET")
    address = {"uds": path} if path else {"host": "0.0.0.0", "port": 6500}
    options = {"log_level": "warning", "access_log": False, "timeout_graceful_shutdown": 1}
    uvicorn.run(create_app(), **address, **options, http=Protocol)


if __name__ == "__main__":
    main()
