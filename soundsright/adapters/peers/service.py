"""A service at an address that the operator of this program chose, which signs its answers.

Times are in seconds, sizes in bytes. A request is signed for the hotkey of the service. Only answers with that
hotkey's signature count. So nobody between the two can change an answer, also without TLS.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.adapters.peers.auth import signed_headers
from soundsright.adapters.peers.client import is_signed, reply_json, request
from soundsright.core.errors import PeerUnavailable, RequestRefused, printable
from soundsright.core.ports import Account, Reply
from soundsright.core.signed_http import answer_text

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_SENTENCE_CHARS = 500
_OK = (200, 201, 304)
_STALE = "stale"


@dataclass(frozen=True)
class SignedService:
    """Signed requests to one service. `name` says in errors what it is, such as "The coordinator".

    `setting` is the setting with its address, also for errors. `max_bytes` limits an answer.
    """

    url: str
    receiver: str
    account: Account
    name: str
    setting: str
    timeout_s: float = 20.0
    max_bytes: int = 2_500_000

    def get(self, path: str, *, etag: str = "") -> Reply:
        """The answer to a GET: 200, or 304 if the body still has that `etag`.

        Raises:
            RequestRefused: the service refuses the request.
            PeerUnavailable: no signed answer came in time, or it is too large.
        """
        return self._checked(self._sent("GET", path, b"", {"If-None-Match": etag} if etag else {}))

    def post(self, path: str, values: object) -> Reply:
        """The answer to a POST of JSON values: 200 or 201. It is sent once.

        Raises:
            RequestRefused: the service refuses the request.
            PeerUnavailable: no signed answer came in time, or it is too large. The service may have done it.
        """
        return self._checked(self._sent("POST", path, json.dumps(values, allow_nan=False).encode(), {}))

    def values(self, reply: Reply) -> Any:
        """The JSON values of an answer.

        Raises:
            PeerUnavailable: the body is not JSON.
        """
        return reply_json(reply, self.url)

    def malformed(self, reason: object) -> PeerUnavailable:
        """The error that an answer has another form."""
        return PeerUnavailable(
            f"{self.name} at {self.url} answered with another form ({str(reason)[:200]})",
            f"Check {self.setting}, and use the same version of soundsright on both hosts.",
            code="bad_answer",
        )

    def _sent(self, method: str, path: str, body: bytes, extra: Mapping[str, str]) -> Reply:
        """The signed answer. A request that was too old for the service is signed again, once.

        A service that starts refuses the requests that waited for it. It did not do them.
        """
        reply, proved = self._answer(method, path, body, extra)
        if not proved and reply.status == 401 and _refusal(reply)[0] == _STALE:
            reply, proved = self._answer(method, path, body, extra)
        if not proved:
            code, sentence = _refusal(reply)
            said = f" ({code}: {sentence})" if code else ""
            raise PeerUnavailable(
                f"{self.name} at {self.url} answered {reply.status}{said}, but {self.receiver} did not sign that",
                f"Check {self.setting} and the hotkey of the service. If it refuses your key, check WALLET, HOTKEY "
                "and this machine's clock.",
                code="unsigned_answer",
            )
        return reply

    def _answer(self, method: str, path: str, body: bytes, extra: Mapping[str, str]) -> tuple[Reply, bool]:
        """An answer, and whether the receiver signed it."""
        nonce_ns = time.time_ns()
        headers = signed_headers(
            self.account, method=method, path=path, body=body, receiver=self.receiver, nonce_ns=nonce_ns
        )
        reply = request(
            self.url,
            method,
            path,
            body=body,
            headers={**headers, **extra},
            timeout_s=self.timeout_s,
            max_bytes=self.max_bytes,
        )
        text = answer_text(nonce_ns, self.account.address, reply.status, reply.body)
        return reply, is_signed(reply, text, self.receiver)

    def _checked(self, reply: Reply) -> Reply:
        if reply.status in _OK:
            return reply
        code, sentence = _refusal(reply)
        if code and 400 <= reply.status < 500:
            raise RequestRefused(code, sentence, status=reply.status)
        raise PeerUnavailable(
            f"{self.name} at {self.url} answered {reply.status}{f' ({code})' if code else ''}",
            f"Try again later. If it stays so, check {self.setting}.",
        )


def _refusal(reply: Reply) -> tuple[str, str]:
    """The code and the sentence of a refusal; two empty texts if it has another form."""
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(found, dict):
        return "", ""
    code, sentence = found.get("code"), found.get("sentence")
    if not isinstance(code, str) or not isinstance(sentence, str) or not _CODE.fullmatch(code):
        return "", ""
    return code, printable(sentence[:_MAX_SENTENCE_CHARS])
