"""Pulls from a registry that fails or lies: each ends, names who is to blame, and leaves nothing in the engine."""

from __future__ import annotations

import gzip
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.image_pull import pull_image, pulled_before
from soundsright.adapters.sandboxes import StopToken
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import FaultClass, ImageNotPulled, RegistryUnavailable, fault_class
from tests.engines import OwnEngine
from tests.registries import MANIFEST, FakeRegistry, Misbehaviour, Request, fake_registry

pytestmark = pytest.mark.docker

LIMITS = BuildLimits(timeout_s=20.0, max_image_bytes=1_000_000_000, min_free_bytes=0)
HASTY = replace(LIMITS, timeout_s=0.6)
Traces = Callable[[], set[str]]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as registry:
        yield registry


@pytest.fixture
def traces(own: OwnEngine) -> Traces:
    """Everything that the engine has of images: their names, their layers, and downloads that have not ended."""

    def look() -> set[str]:
        names = {f"{i.id} {i.tags} {i.attrs.get('RepoDigests')}" for i in own.engine.client.images.list(all=True)}
        layers = {path.name for path in (own.data / "image/overlay2/layerdb/sha256").glob("*")}
        return names | layers | {path.name for path in (own.data / "tmp").glob("*")}

    return look


def assert_soon(traces: Traces, expected: set[str]) -> None:
    """An engine ends a pull, whose client has gone, a moment later."""
    until = time.monotonic() + 15
    while traces() != expected and time.monotonic() < until:
        time.sleep(0.05)
    assert traces() == expected


def pull(own: OwnEngine, name: str, limits: BuildLimits = LIMITS) -> str:
    return pull_image(own.engine, BaseImage(1, name), limits, StopToken())


def on_manifest(answer: Callable[[Request], object]) -> Misbehaviour:
    return lambda request: request.is_manifest and (answer(request), True)[1]


def on_blob(answer: Callable[[Request], object]) -> Misbehaviour:
    return lambda request: request.is_blob and (answer(request), True)[1]


def is_silent(request: Request) -> None:
    request.server.registry.closed.wait(20)


def trickles(request: Request) -> None:
    """Send one byte at a time, for ever."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while not request.server.registry.closed.wait(0.05):
        request.wfile.write(b"x")


def ends_early(request: Request) -> None:
    content = request.content()
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[:-10])
    request.close_connection = True


AWAY = {
    "503": on_manifest(lambda r: r.refuse(503, "UNAVAILABLE", "later")),
    "500 that names a full disk": on_manifest(lambda r: r.refuse(500, "UNKNOWN", "no space left on device")),
    "429": on_manifest(lambda r: r.refuse(429, "TOOMANYREQUESTS", "slower")),
    "no JSON": on_manifest(lambda r: r.answer(502, b"<html>")),
    "silent": on_manifest(is_silent),
    "silent blob": on_blob(is_silent),
    "trickle": on_blob(trickles),
    "redirects for ever": on_manifest(lambda r: r.redirect(r.path)),
    "blob redirects for ever": on_blob(lambda r: r.redirect(r.path)),
    "redirect to another host": on_blob(lambda r: r.redirect("http://nowhere.invalid/x")),
    "redirect to a port of this machine": on_blob(lambda r: r.redirect("http://127.0.0.1:9/x")),
    "truncated": on_blob(ends_early),
    "another manifest": on_manifest(lambda r: r.answer(200, r.content() + b" ", kind=MANIFEST)),
    "another blob": on_blob(lambda r: r.answer(200, b"other")),
}
"""Registries that may work later."""


@pytest.mark.parametrize("name", AWAY)
def test_a_registry_that_fails_is_blamed_on_whoever_chose_it(
    name: str, own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    image = registry.name_of(registry.put_image(secrets.token_bytes(1_000)))
    registry.misbehaviour = AWAY[name]
    before = traces()
    with pytest.raises(ImageNotPulled, match="the registry that the model chose does not provide") as strangers:
        pull(own, image, HASTY)
    assert fault_class(strangers.value) is FaultClass.TRANSIENT
    with pytest.raises(RegistryUnavailable, match=r"cannot pull|wrong content"):
        pull(own, image, replace(HASTY, registries=(registry.address,)))
    # An engine waits for a silent registry even when nobody waits for the pull. Its empty file stays so long.
    registry.closed.set()
    assert_soon(traces, before)


REFUSES = {
    "unknown": (on_manifest(lambda r: r.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")), "does not exist"),
    "private": (on_manifest(lambda r: r.refuse(401, "UNAUTHORIZED", "log in")), "unauthorized"),
    "denied": (on_manifest(lambda r: r.refuse(403, "DENIED", "requested access is denied")), "denied"),
}


@pytest.mark.parametrize("name", REFUSES)
def test_a_registry_that_certainly_refuses_is_not_asked_again(
    name: str, own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    image = registry.name_of(registry.put_image(secrets.token_bytes(1_000)))
    registry.misbehaviour, words = REFUSES[name]
    before = traces()
    with pytest.raises(ImageNotPulled, match=words) as refused:
        pull(own, image)
    assert fault_class(refused.value) is FaultClass.PERMANENT
    assert_soon(traces, before)


def test_a_redirect_to_the_right_content_is_followed(
    own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    before = traces()
    with fake_registry() as store:
        image = registry.name_of(registry.put_image(secrets.token_bytes(1_000)))
        store.content |= registry.content
        registry.misbehaviour = on_blob(lambda r: r.redirect(f"http://{store.address}{r.path}"))
        image_id = pull(own, image)
        assert len(store.requests) == 2
    assert pulled_before(own.engine, BaseImage(1, image), LIMITS) == image_id
    own.engine.client.images.remove(image)
    assert_soon(traces, before)


@pytest.mark.parametrize("size_bytes", [10, 10**13])
def test_a_size_in_a_manifest_is_not_believed(
    size_bytes: int, own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    """The digest decides what an image is. Only what is really sent counts against the limit."""
    before = traces()
    data = secrets.token_bytes(3_000_000)
    image = registry.name_of(registry.put_image(data, told_layer={"size": size_bytes}))
    with pytest.raises(ImageNotPulled, match="at most 1000000 are allowed"):
        pull(own, image, replace(LIMITS, max_image_bytes=1_000_000))
    assert_soon(traces, before)
    own.engine.client.images.remove(pull(own, image), force=True)
    assert_soon(traces, before)


def test_a_layer_that_claims_to_be_huge_is_refused_before_it_is_sent(
    own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    before = traces()
    image = registry.name_of(registry.put_image(secrets.token_bytes(1_000)))
    layer = [digest for digest, (kind, _) in registry.content.items() if kind.endswith("gzip")]

    def claims(request: Request) -> bool:
        if not request.path.endswith(layer[0]):
            return False
        request.send_response(200)
        request.send_header("Content-Length", str(10**13))
        request.end_headers()
        for _ in range(20):
            request.wfile.write(secrets.token_bytes(100_000))
        is_silent(request)
        return True

    registry.misbehaviour = claims
    with pytest.raises(ImageNotPulled, match="the image has 10000000000000 bytes"):
        pull(own, image)
    assert_soon(traces, before)


def test_a_small_layer_that_unpacks_to_much_is_refused(
    own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    before = traces()
    image = registry.name_of(registry.put_image(b"\0" * 60_000_000))
    with pytest.raises(ImageNotPulled, match=r"bytes of disk; an image may have at most|the image has 6\d+ bytes"):
        pull(own, image, replace(LIMITS, max_image_bytes=20_000_000))
    assert_soon(traces, before)


@pytest.mark.parametrize("packed", [b"no archive", gzip.compress(b"no archive" * 100)])
def test_an_image_that_cannot_be_unpacked_is_the_submissions_fault_from_any_registry(
    packed: bytes, own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    before = traces()
    image = registry.name_of(registry.put_image(secrets.token_bytes(100), packed=packed))
    with pytest.raises(ImageNotPulled, match="cannot unpack") as caught:
        pull(own, image, replace(LIMITS, registries=(registry.address,)))
    assert not caught.value.passing
    assert_soon(traces, before)


def test_a_list_of_manifests_gives_the_image_for_this_machine(
    own: OwnEngine, registry: FakeRegistry, traces: Traces
) -> None:
    before = traces()
    architecture = own.engine.platform.partition("/")[2]
    other, mine = (registry.put_image(secrets.token_bytes(9), architecture=a) for a in ("s390x", architecture))
    image = registry.name_of(registry.put_list(("s390x", other), (architecture, mine)))
    pull(own, image)
    assert pulled_before(own.engine, BaseImage(1, image), LIMITS)
    own.engine.client.images.remove(image)
    with pytest.raises(ImageNotPulled, match=r"no variant for this machine's platform"):
        pull(own, registry.name_of(registry.put_list(("s390x", other))))
    with pytest.raises(
        ImageNotPulled, match=rf"is for linux/s390x; this machine runs images for linux/{architecture}"
    ):
        pull(own, registry.name_of(other))
    assert_soon(traces, before)


def test_a_registry_that_fails_three_times_provides_the_image_at_last(
    own: OwnEngine, registry: FakeRegistry
) -> None:
    image = registry.name_of(registry.put_image(secrets.token_bytes(1_000)))
    failures = iter(range(3))
    fails = on_manifest(lambda r: r.refuse(503, "UNAVAILABLE", "later"))
    registry.misbehaviour = lambda r: r.is_manifest and next(failures, None) is not None and fails(r)
    for _ in range(3):
        with pytest.raises(ImageNotPulled):
            pull(own, image)
    own.engine.client.images.remove(pull(own, image), force=True)
