"""One sampler of a hotkey at a time, also if two machines with a state of their own write to the same bucket.

    sampler.json    {"beat":"RANDOM","machine":"ID","schema":"soundsright.sampler/1"}

A running sampler writes a new beat every 20 seconds. A machine that finds the object of another one watches it for
a minute before it starts. No clocks are compared. Two machines that start at the same moment can miss each other;
then the claims of tasks keep them apart. Times are in seconds.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import BucketMissing, BucketTooLarge, RecordConflict, SoundsRightError, UsageError
from soundsright.core.ports import Bucket, Records
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.services.federation.object_keys import SAMPLER_KEY

SAMPLER_SCHEMA = "soundsright.sampler/1"
MACHINE = "federation:machine"
BEAT_S = 20.0
WATCH_S = 60.0
_LOOK_S = 5.0
_MAX_BYTES = 1_000

_log = logging.getLogger(__name__)


def machine_of(records: Records) -> str:
    """The random name of the machine that has this state.

    Raises:
        StateUnavailable: the state does not answer.
    """
    with suppress(RecordConflict):
        records.append(MACHINE, "id", {"id": secrets.token_hex(16)})
    return str(records.read(MACHINE, after=0, limit=1)[0].facts["id"])


@contextmanager
def sole_machine(
    bucket: Bucket, machine: str, hotkey: str, *, sleep: Callable[[float], object], beat_s: float = BEAT_S
) -> Iterator[None]:
    """Refuse a second machine with the same hotkey and bucket while the block runs. `sleep` waits for seconds.

    Raises:
        UsageError: a sampler on another machine writes to the bucket.
        BucketForbidden, BucketUnavailable: the bucket fails.
    """
    _check_alone(bucket, machine, hotkey, sleep)
    bucket.put(SAMPLER_KEY, _beat(machine))
    ended = threading.Event()
    beating = threading.Thread(
        target=_keep_beating, args=[bucket, machine, ended, beat_s], name="sampler-beats", daemon=True
    )
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        with suppress(SoundsRightError):
            if _machine_in(_present(bucket)) == machine:
                bucket.delete(SAMPLER_KEY)


def _check_alone(bucket: Bucket, machine: str, hotkey: str, sleep: Callable[[float], object]) -> None:
    first = _present(bucket)
    if _machine_in(first) in (None, machine):
        return
    _log.warning(
        "another machine judged for this hotkey; waiting for %g s to see whether it still does",
        WATCH_S,
        extra={"action": "other_sampler_watched"},
    )
    for _ in range(int(WATCH_S / _LOOK_S)):
        sleep(_LOOK_S)
        now = _present(bucket)
        if now is None:
            return
        if now != first:
            raise UsageError(
                f"Another machine uses the hotkey {hotkey} as a sampler on this bucket",
                "Stop it. A hotkey has one sampler.",
            )


def _keep_beating(bucket: Bucket, machine: str, ended: threading.Event, beat_s: float) -> None:
    while not ended.wait(beat_s):
        try:
            bucket.put(SAMPLER_KEY, _beat(machine))
        except SoundsRightError as error:
            _log.info("the sampler's beat is not written: %s", error, extra={"action": "beat_failed"})


def _beat(machine: str) -> bytes:
    facts = {"schema": SAMPLER_SCHEMA, "machine": machine, "beat": secrets.token_hex(8)}
    return f"{canonical_json(facts)}\n".encode()


def _present(bucket: Bucket) -> bytes | None:
    try:
        return bucket.get(SAMPLER_KEY, _MAX_BYTES)
    except (BucketMissing, BucketTooLarge):
        return None


def _machine_in(raw: bytes | None) -> str | None:
    """The machine that wrote the object; None if it is not a beat."""
    try:
        facts = strict_json(raw or b"")
        return str(facts["machine"]) if facts["schema"] == SAMPLER_SCHEMA else None
    except (NotStrictJson, KeyError, TypeError):
        return None
