"""A registry that leads into the operator's network is refused before the engine goes there."""

from __future__ import annotations

import pytest

from soundsright.adapters.containers.registry_check import (
    MAX_REDIRECTS,
    MAX_REGISTRIES,
    addresses_of,
    check_registries,
    check_registry,
)
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import FaultClass, ImageNotPulled, PeerUnavailable, fault_class
from soundsright.core.ports import Reply

IMAGE = BaseImage(1, "reg.example/lab/gate@sha256:" + "0" * 64)
ADDRESSES = {
    "reg.example": ("93.184.216.34",),
    "store.example": ("93.184.216.35",),
    "inside.example": ("10.0.0.7",),
}


def check(
    replies: dict[str, Reply | PeerUnavailable], *, addresses: dict[str, tuple[str, ...]] | None = None
) -> list[str]:
    """Check the image with a registry that gives these replies, by URL. Returns the URLs that were asked."""
    asked = []

    def ask(url: str, path: str) -> Reply:
        asked.append(url + path)
        reply = replies.get(url, Reply(200, b""))
        if isinstance(reply, PeerUnavailable):
            raise reply
        return reply

    names = {**ADDRESSES, **(addresses or {})}
    check_registry(IMAGE, (), ask=ask, look_up=lambda host: names.get(host, (host,) if host[0].isdigit() else ()))
    return asked


def redirect(location: str) -> Reply:
    return Reply(307, b"", headers={"location": location})


def test_a_public_registry_and_its_redirects_to_public_ones_pass() -> None:
    asked = check({"https://reg.example": redirect("https://store.example/m?key=1")})
    assert asked == [
        f"https://reg.example/v2/lab/gate/manifests/sha256:{'0' * 64}",
        "https://store.example/m?key=1",
    ]


@pytest.mark.parametrize(
    "addresses", [("10.0.0.7",), ("93.184.216.34", "127.0.0.1"), ("169.254.169.254",), ("::1",)]
)
def test_every_address_of_a_registry_must_be_public(addresses: tuple[str, ...]) -> None:
    with pytest.raises(ImageNotPulled, match=r"the registry reg\.example leads to a") as refused:
        check({}, addresses={"reg.example": addresses})
    assert fault_class(refused.value) is FaultClass.PERMANENT


@pytest.mark.parametrize(
    "reply",
    [
        redirect("http://127.0.0.1:6000/livez"),
        redirect("//10.0.0.7/x"),
        redirect("https://inside.example/x"),
        redirect("file:///etc/passwd"),
        redirect("http://[::1"),
        Reply(401, b"", headers={"www-authenticate": 'Bearer realm="http://10.0.0.7/token",service="x"'}),
        PeerUnavailable("x", code="forbidden_address"),
    ],
)
def test_a_way_into_the_local_network_is_refused(reply: Reply | PeerUnavailable) -> None:
    with pytest.raises(ImageNotPulled, match="use one on the public Internet"):
        check({"https://reg.example": reply})


def test_redirects_without_an_end_are_refused() -> None:
    with pytest.raises(ImageNotPulled, match=f"more than {MAX_REDIRECTS} times"):
        check({"https://reg.example": redirect("/again")})


def test_a_dockerfile_with_many_registries_is_refused_before_any_is_asked() -> None:
    images = [BaseImage(n, f"reg{n}.invalid/a:1") for n in range(MAX_REGISTRIES + 1)]
    with pytest.raises(ImageNotPulled, match=f"at most {MAX_REGISTRIES} are allowed"):
        check_registries(images, ())


def test_a_registry_that_does_not_answer_is_left_to_the_pull() -> None:
    assert len(check({"https://reg.example": PeerUnavailable("away", code="timeout")})) == 1
    assert addresses_of("nowhere.invalid") == ()


@pytest.mark.parametrize("name", ["python:3.12-slim", "10.0.0.7:5000/lab/gate:1"])
def test_the_default_registry_and_a_trusted_one_are_not_asked(name: str) -> None:
    def fails(*_: object) -> Reply:
        raise AssertionError("asked")

    check_registry(BaseImage(1, name), ("10.0.0.7:5000",), ask=fails, look_up=lambda _host: ("10.0.0.7",))
