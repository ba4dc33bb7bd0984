"""The limits of the build of a model's image, and its result. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from soundsright.core.errors import UsageError

NETWORKS = ("none", "default")


@dataclass(frozen=True)
class BuildLimits:
    """The limits of a build, or of a pull in its place.

    Attributes:
        network: `none` or `default`.
        registries: the registries that the operator trusts, as `host:port`. If one of them fails, no model is
            blamed.
        min_free_bytes: a build ends if less is free on the engine's disk.
        kept_bytes: the harness's images may take this much of the engine's disk. Beyond it, the images that were
            not used for the longest time are removed.

    Raises:
        UsageError: if the network is neither `none` nor `default`.
    """

    network: str = "default"
    registries: tuple[str, ...] = ()
    timeout_s: float = 1_800.0
    memory_bytes: int = 8_000_000_000
    max_image_bytes: int = 20_000_000_000
    max_layer_bytes: int = 10_000_000_000
    min_free_bytes: int = 2_000_000_000
    kept_bytes: int = 200_000_000_000
    log_bytes: int = 1_000_000

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise UsageError(f"Unknown build network {self.network!r}", f"Choose from {', '.join(NETWORKS)}.")


@dataclass(frozen=True)
class BuiltImage:
    """A model's image: its `id`, how long it took to build or pull (0 if it existed), and the build's log."""

    id: str
    build_s: float = 0.0
    log: str = ""
