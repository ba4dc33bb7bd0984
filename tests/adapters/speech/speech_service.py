"""A fake speech service on this machine."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import soundfile


class SpeechService:
    """A server with the audio part of OpenAI's API. `answers` has replies to give first, one for each request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.requests.append({**body, "path": self.path, "key": self.headers["authorization"]})
                status, headers, data = service.answers.pop(0) if service.answers else (200, {}, noise_wav(body))
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"


def noise_wav(request: dict[str, Any]) -> bytes:
    rng = np.random.default_rng(len(request["input"]))
    out = io.BytesIO()
    soundfile.write(out, 0.1 * rng.standard_normal(36_000), 24_000, format="WAV")
    return out.getvalue()
