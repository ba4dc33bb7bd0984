"""Submissions of images for the tests of the executor."""

from __future__ import annotations

from soundsright.core.images import SubmittedImage
from soundsright.core.sources import ImageRef


def image(name: str) -> ImageRef:
    """An image of that name, with a digest that follows from it."""
    return ImageRef(f"reg.example/{name}", name.encode().hex().ljust(64, "0")[:64])


def submitted(hotkey: str, submitted_s: int, name: str = "") -> SubmittedImage:
    """A submission of a hotkey's image, which by default has the hotkey's name."""
    return SubmittedImage(submitted_s, hotkey, image(name or hotkey.lower()))
