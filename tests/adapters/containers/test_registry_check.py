"""A registry that leads into the operator's network is refused before the engine goes there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from soundsright.adapters.containers.registry_check import (
    MAX_REDIRECTS,
    MAX_REGISTRIES,
    addresses_of,
    check_registries,
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


MANIFEST = f"/v2/lab/gate/manifests/sha256:{'0' * 64}"


def check(
    replies: Mapping[str, Reply | PeerUnavailable],
    *images: BaseImage,
    addresses: Mapping[str, tuple[str, ...]] | None = None,
) -> list[str]:
    """Check images at a registry that gives these replies, by URL or host. Returns the requests that were made."""
    asked = []

    def ask(method: str, url: str, path: str) -> Reply:
        asked.append(f"{method} {url}{path}")
        reply = replies.get(url + path, replies.get(url, Reply(200, b"")))
        if isinstance(reply, PeerUnavailable):
            raise reply
        return reply

    names = {**ADDRESSES, **(addresses or {})}
    check_registries(
        images or (IMAGE,), (), ask=ask, look_up=lambda host: names.get(host, (host,) if host[0].isdigit() else ())
    )
    return asked


def challenge(*headers: str) -> Reply:
    return Reply(401, b"", headers={"www-authenticate": ", ".join(headers)})


def redirect(location: str) -> Reply:
    return Reply(307, b"", headers={"location": location})


def test_a_public_registry_and_its_redirects_to_public_ones_pass() -> None:
    asked = check({f"https://reg.example{MANIFEST}": redirect("https://store.example/m?key=1")})
    assert asked == [
        "GET https://reg.example/v2/",
        f"HEAD https://reg.example{MANIFEST}",
        "HEAD https://store.example/m?key=1",
    ]


@pytest.mark.parametrize(
    "header",
    ['Bearer realm="https://store.example/token",service="x"', 'Basic realm="Registry Realm"', "Negotiate"],
)
def test_a_public_token_service_and_a_password_pass(header: str) -> None:
    assert len(check({"https://reg.example": challenge(header)})) == 2


@pytest.mark.parametrize("path", ["/v2/", MANIFEST])
@pytest.mark.parametrize(
    "headers",
    [
        ('Bearer realm="http://10.0.0.7/token",service="x"',),
        ('Bearer realm="https://store.example/token",realm="http://10.0.0.7/token"',),
        ('Bearer realm="https://store.example/token"', 'Bearer realm="http://10.0.0.7/token"'),
        ('Basic realm="http://10.0.0.7/token"',),
        ("Bearer realm=http://10.0.0.7/token",),
        ('Bearer REALM="http:\\/\\/10.0.0.7/token"',),
        (f'Bearer realm="http://10.0.0.7/{"x" * 600}"',),
    ],
    ids=["plain", "second realm", "second header", "called basic", "no quotes", "escapes", "long"],
)
def test_every_token_service_must_be_public(path: str, headers: tuple[str, ...]) -> None:
    with pytest.raises(ImageNotPulled, match="use one on the public Internet"):
        check({f"https://reg.example{path}": challenge(*headers)})


def test_each_image_of_a_registry_is_asked_for() -> None:
    other = BaseImage(2, "reg.example/lab/other:1")
    inside = {"https://reg.example/v2/lab/other/manifests/1": redirect("http://10.0.0.7/x")}
    for images in ((IMAGE, other), (other, IMAGE)):
        with pytest.raises(ImageNotPulled, match="use one on the public Internet"):
            check(inside, *images)


@pytest.mark.parametrize(
    "reply",
    [challenge('Bearer realm="https://nowhere.example/token"'), redirect("https://nowhere.example/x")],
    ids=["token service", "redirect"],
)
def test_a_name_without_an_address_is_refused_because_the_engine_may_find_one(reply: Reply) -> None:
    with pytest.raises(ImageNotPulled, match=r"nowhere\.example has no address") as refused:
        check({"https://reg.example": reply})
    assert fault_class(refused.value) is FaultClass.TRANSIENT


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


def test_a_registry_that_answers_nothing_here_is_not_left_to_the_engine() -> None:
    with pytest.raises(ImageNotPulled, match=r"does not provide reg\.example/lab/gate") as refused:
        check({"https://reg.example": PeerUnavailable("away", code="timeout")})
    assert fault_class(refused.value) is FaultClass.TRANSIENT
    assert addresses_of("nowhere.invalid") == ()


@pytest.mark.parametrize("name", ["python:3.12-slim", "10.0.0.7:5000/lab/gate:1"])
def test_the_default_registry_and_a_trusted_one_are_not_asked(name: str) -> None:
    def fails(*_: object) -> Reply:
        raise AssertionError("asked")

    check_registries([BaseImage(1, name)], ("10.0.0.7:5000",), ask=fails, look_up=lambda _host: ("10.0.0.7",))
