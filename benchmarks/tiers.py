"""The cost of served models, as ratios within one run, each with its limit.

    python benchmarks/tiers.py                # the whole table
    python benchmarks/tiers.py streams        # one part

`gateway`: the gateway's processor time for a request at the 99th percentile, over 5 ms. Somebody else keeps the
prover busy. `prover`: what HTTP, signatures and the queue add to the time of a model that takes 0.2 s. `streams`:
the share of one core that 50 live streams take at a prover on that core, with a model that copies. `gateway-
streams`: the same at a gateway. `parallel`: a verifier's step with ten provers, over the slowest of them. `bank`:
the verifier's model time in an interval, over that of its bank alone.

Latencies are printed besides, with how late this program itself wakes up. They mean something on a quiet machine
only. Provers, gateways and clients are processes of their own. Busy ones have a lower priority, as services.py
has it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

if not __package__:  # Run as a file: find the folder `tests` by its name.
    sys.path[0] = str(Path(__file__).parents[1])

import httpx
from websockets.asyncio.client import connect

from soundsright.adapters.peers import Hotkey, signed_headers
from soundsright.adapters.provers import HttpProvers
from soundsright.core.audio import Audio
from soundsright.core.errors import PeerUnavailable
from soundsright.core.ports import Prover, Question
from soundsright.core.tiers import new_request_id
from soundsright.core.tiers_rules import tiers_rules
from soundsright.core.wav import encode_wav
from soundsright.services.gateway import GatewayLimits
from soundsright.services.prover import ProverLimits, QueueLimits
from soundsright.services.verifier import SCOPE, ServingProver, recorded_steps
from soundsright.testing.provers import (
    COMPETITION,
    MODEL,
    FunctionRunner,
    ProverKind,
    reference_model,
    running_prover,
)
from soundsright.testing.served import Manner
from tests.services.gateway.world import KEY, NETWORKS, VERIFIER, running_gateway
from tests.services.prover.callers import noise
from tests.services.verifier.test_over_http import HttpWorld
from tests.services.verifier.world import INTERVAL

REQUESTS, CLIP_S, MODEL_S = 300, 3.0, 0.2
STREAMS, STREAM_S, FRAME_S, FRAME_BYTES = 50, 10.0, 0.02, 640
GATEWAY_LIMIT_MS = 5.0
KEY_OF_PROVER = Hotkey.of_seed("benchmarked")
_FORK = multiprocessing.get_context("fork")


class Copy:
    """The port `ModelStream` without look-ahead: each frame is its answer."""

    def __init__(self, frame_bytes: int) -> None:
        self.frame_bytes = frame_bytes

    def exchange(self, frame: bytes) -> bytes:
        return frame

    def finish(self) -> tuple[bytes, ...]:
        return ()


@contextlib.contextmanager
def process(target: Callable[..., None], *args: Any) -> Iterator[tuple[Connection, int]]:
    """A process that runs `target(connection, *args)`, and ends when it is sent something more."""
    here, there = _FORK.Pipe()
    child = _FORK.Process(target=target, args=(there, *args), daemon=True)
    child.start()
    try:
        yield here, child.pid or 0
    finally:
        with contextlib.suppress(OSError):
            here.send("end")
        child.join(10)
        child.kill()


def serve_prover(connection: Connection, core: int | None, kind: ProverKind, nice: int = 0) -> None:
    os.nice(nice)
    if core is not None:
        os.sched_setaffinity(0, {core})
    queue = QueueLimits(waiting=64, per_sender=64)
    limits = ProverLimits(queue=queue, streams_per_slot=2 * STREAMS)
    with running_prover(kind, KEY_OF_PROVER, slow_s=MODEL_S, slots=2, limits=limits, new_stream=Copy) as prover:
        connection.send(prover.url)
        connection.recv()


class TimedProvers(HttpProvers):
    """Keeps the time of each answer, by its number."""

    def __init__(self) -> None:
        super().__init__(VERIFIER, NETWORKS)
        self.times_s: list[float] = []

    def inference(self, *args: Any, **options: Any) -> Any:
        answer = super().inference(*args, **options)
        self.times_s.append(answer.time_s)
        return answer


def serve_gateway(connection: Connection, url: str, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    provers = TimedProvers()
    endpoint = url.removeprefix("http://")
    row = ServingProver(KEY_OF_PROVER.address, 0, endpoint, COMPETITION, str(MODEL), "Gold", 10**6)
    limits = GatewayLimits(streams=2 * STREAMS, streams_per_key=2 * STREAMS, streams_per_address=2 * STREAMS)
    with running_gateway([row], limits=limits, new_provers=lambda: provers) as gateway:
        connection.send(gateway.url)
        connection.recv()
        connection.send(provers.times_s)
        connection.recv()


def keep_busy(connection: Connection, url: str) -> None:
    """Ask the prover for one recording after another."""
    os.nice(10)
    asker = HttpProvers(Hotkey.of_seed("busy"), NETWORKS)
    wav = encode_wav(noise(CLIP_S))
    while not connection.poll():
        with contextlib.suppress(PeerUnavailable):
            ask(asker, url, wav)


def ask(asker: HttpProvers, url: str, wav: bytes) -> Any:
    prover = Prover(KEY_OF_PROVER.address, url.removeprefix("http://"))
    question = Question(new_request_id(), COMPETITION, 1, wav)
    return asker.inference(prover, question, timeout_s=12, max_audio_bytes=10**7)


def measure_gateway() -> Iterator[tuple[str, float, float]]:
    wav = encode_wav(noise(CLIP_S))
    with process(serve_prover, None, ProverKind.HONEST, 10) as (prover, _):
        url = prover.recv()
        with process(serve_gateway, url, None) as (gateway, pid), process(keep_busy, url):
            address, whole_s, used_ms = gateway.recv(), [], []
            with httpx.Client(timeout=30) as client:
                for _ in range(REQUESTS):
                    began_s, used_s = time.perf_counter(), processor_s(pid)
                    answer = client.post(address + "/v1/enhance", content=wav, headers={"X-Api-Key": KEY})
                    whole_s.append(time.perf_counter() - began_s)
                    used_ms.append(1_000 * (processor_s(pid) - used_s))
                    assert answer.status_code == 200, answer.text
            gateway.send("times")
            added = [1_000 * (a - b) for a, b in zip(whole_s, gateway.recv(), strict=True)]
    print(f"gateway: {quantile(added, 50):.2f} ms besides the prover's time, {quantile(added, 99):.2f} ms at p99")
    print(f"gateway: {quantile(used_ms, 50):.2f} ms of processor time, {quantile(used_ms, 99):.2f} ms at p99")
    yield "a gateway's processor time at p99, over 5 ms", quantile(used_ms, 99) / GATEWAY_LIMIT_MS, 1.0


def measure_prover() -> Iterator[tuple[str, float, float]]:
    with process(serve_prover, None, ProverKind.SLOW) as (prover, _):
        url, asker, wav = prover.recv(), HttpProvers(VERIFIER, NETWORKS), encode_wav(noise(5.0))
        answers = [ask(asker, url, wav) for _ in range(40)]
    added = [(each.time_s - each.busy_s) / each.busy_s for each in answers]
    yield "a prover's time besides its model, over the model's", statistics.median(added), 0.10


async def one_stream(url: str, headers: dict[str, str], latencies_s: list[float]) -> int:
    async with connect(url, additional_headers=headers, compression=None, ping_interval=None) as stream:
        await stream.send(json.dumps({"type": "start", "sample_rate_hz": 16_000, "frame_ms": 20}))
        await stream.recv()
        sent_s: list[float] = []
        count = round(STREAM_S / FRAME_S)

        async def send() -> None:
            began_s = time.perf_counter()
            for number in range(count):
                await asyncio.sleep(max(0.0, began_s + number * FRAME_S - time.perf_counter()))
                sent_s.append(time.perf_counter())
                await stream.send(bytes(FRAME_BYTES))

        sending, answered = asyncio.create_task(send()), 0
        while answered < count:
            if isinstance(await stream.recv(), bytes):
                latencies_s.append(time.perf_counter() - sent_s[answered])
                answered += 1
        await sending
        return answered


async def lateness(late_s: list[float]) -> None:
    """Note how late this program wakes up, until it is cancelled."""
    while True:
        began_s = time.perf_counter()
        await asyncio.sleep(FRAME_S)
        late_s.append(time.perf_counter() - began_s - FRAME_S)


async def all_streams(url: str, headers: Callable[[], dict[str, str]]) -> tuple[int, list[float], list[float]]:
    latencies_s: list[float] = []
    late_s: list[float] = []
    watching = asyncio.create_task(lateness(late_s))
    answered = await asyncio.gather(*(one_stream(url, headers(), latencies_s) for _ in range(STREAMS)))
    watching.cancel()
    return sum(answered), latencies_s, late_s


def measured_streams(
    url: str, pid: int, headers: Callable[[], dict[str, str]], what: str
) -> Iterator[tuple[str, float, float]]:
    """The share of its core that the process has used. Every frame must be answered."""
    used_s, began_s = processor_s(pid), time.perf_counter()
    answered, latencies_s, late_s = asyncio.run(all_streams(url.replace("http", "ws") + "/v1/stream", headers))
    share = (processor_s(pid) - used_s) / (time.perf_counter() - began_s)
    assert answered == STREAMS * round(STREAM_S / FRAME_S)
    p50, p99, late = (1_000 * quantile(*each) for each in ((latencies_s, 50), (latencies_s, 99), (late_s, 99)))
    print(
        f"{what}: a frame takes {p50:.2f} ms, {p99:.2f} ms at p99; this program wakes up {late:.2f} ms late at p99"
    )
    yield f"the share of one core for {STREAMS} streams, {what}", share, 1.0


def quantile(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


def processor_s(pid: int) -> float:
    """The processor time that a process has used, with the threads that have ended: its clock in Linux."""
    return time.clock_gettime((~pid << 3) | 2)


def signed() -> dict[str, str]:
    return signed_headers(VERIFIER, method="GET", path="/v1/stream", body=b"", receiver=KEY_OF_PROVER.address)


def measure_streams() -> Iterator[tuple[str, float, float]]:
    core = min(os.sched_getaffinity(0))
    with process(serve_prover, core, ProverKind.HONEST) as (prover, pid):
        yield from measured_streams(prover.recv(), pid, signed, "prover")


def measure_gateway_streams() -> Iterator[tuple[str, float, float]]:
    core = min(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        prover, _ = stack.enter_context(process(serve_prover, None, ProverKind.HONEST))
        gateway, pid = stack.enter_context(process(serve_gateway, prover.recv(), core))
        yield from measured_streams(gateway.recv(), pid, lambda: {"X-Api-Key": KEY}, "gateway")
        gateway.send("times")


def measure_parallel() -> Iterator[tuple[str, float, float]]:
    """A step with ten provers, each of which takes a second."""
    from soundsright.core.ports import Neuron

    rules = tiers_rules(interval_blocks=INTERVAL, bank_clips=1, repeat_clips=1, step_s=1_000.0)
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        keys = [Hotkey.of_seed(f"parallel-{number}") for number in range(10)]
        running = [stack.enter_context(running_prover(ProverKind.SLOW, key, slow_s=1.0)) for key in keys]
        world = HttpWorld(
            Path(folder), dict.fromkeys((each.hotkey for each in running), Manner.HONEST), rules=rules
        )
        world.neurons = [
            Neuron(uid, each.hotkey, 0, endpoint=each.url.removeprefix("http://"))
            for uid, each in enumerate(running)
        ]
        world.restart()
        for _ in range(12):
            world.verifier.work(INTERVAL, world.neurons)
            world.verifier.settle(10.0)
        began_s = time.perf_counter()
        world.work(INTERVAL)
        took_s = time.perf_counter() - began_s
        steps = recorded_steps(world.state.scoped(SCOPE), 1).values()
        slowest_s = max(each.attempt.time_s for step in steps for each in step.attempts)
    yield "a step with ten provers, over the slowest", took_s / slowest_s, 1.5


class CountedModel:
    """The reference model, with the time that it has run."""

    def __init__(self) -> None:
        self.runs, self.took_s = 0, 0.0
        self._lock = threading.Lock()

    def __call__(self, audio: Audio) -> Audio:
        began_s = time.perf_counter()
        enhanced = reference_model(audio)
        with self._lock:
            self.runs += 1
            self.took_s += time.perf_counter() - began_s
        return enhanced


def measure_bank() -> Iterator[tuple[str, float, float]]:
    """An interval in which the prover is asked for its whole bank, and listeners ask besides."""
    from dataclasses import replace

    from soundsright.core.ports import Neuron
    from soundsright.services.verifier import Verifier

    rules = tiers_rules(interval_blocks=INTERVAL)
    model = CountedModel()
    with running_prover() as prover, tempfile.TemporaryDirectory() as folder:
        world = HttpWorld(Path(folder), {prover.hotkey: Manner.HONEST}, rules=rules)
        endpoint = prover.url.removeprefix("http://")
        world.neurons = [Neuron(0, prover.hotkey, 0, endpoint=endpoint)]
        world.verifier = Verifier(replace(world.context(), sandbox=FunctionRunner(model)))
        while not world.verifier.best_provers(COMPETITION):
            world.verifier.work(INTERVAL, world.neurons)
            world.verifier.settle(30.0)
        bank_s, bank_runs = model.took_s, model.runs
        world.work(INTERVAL, times=2 * rules.bank_clips)
        while world.verifier.take_request(prover.hotkey):
            pass
    print(f"bank: {bank_runs} runs of {rules.bank_clips} clips, {model.runs} runs at the end of the interval")
    yield "a verifier's model time in an interval, over its bank's", model.took_s / bank_s, 1.1


PARTS: dict[str, Callable[[], Iterator[tuple[str, float, float]]]] = {
    "gateway": measure_gateway,
    "prover": measure_prover,
    "streams": measure_streams,
    "gateway-streams": measure_gateway_streams,
    "parallel": measure_parallel,
    "bank": measure_bank,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="by default all of them")
    chosen = parser.parse_args().parts or list(PARTS)
    rows = [row for part in chosen for row in PARTS[part]()]
    width = max(len(name) for name, _, _ in rows)
    missed = [name for name, ratio, limit in rows if ratio > limit]
    for name, ratio, limit in rows:
        print(f"{name:{width}}  {ratio:6.3f}  limit {limit:.2f}  {'missed' if ratio > limit else 'ok'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
