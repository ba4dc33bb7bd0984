"""The CPU cores and the GPU that one model reserves for its run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from soundsright.adapters.sandboxes.gpu import Gpu, GpuPool, GpuWatch
from soundsright.adapters.sandboxes.resources import CpuPool
from soundsright.adapters.sandboxes.stopping import StopToken


@dataclass(frozen=True)
class ReservedResources:
    """The numbers of the reserved cores, and the reserved GPU, if any."""

    cpus: tuple[int, ...]
    gpu: Gpu | None

    def gpu_watch(self) -> AbstractContextManager[GpuWatch | None]:
        """A context that samples the GPU's use; it gives None if no GPU is reserved."""
        return GpuWatch(self.gpu) if self.gpu else contextlib.nullcontext()


class ResourcePool:
    """Reserves cores, and one GPU of `gpus` if given, for each model of a sandbox."""

    def __init__(self, gpus: GpuPool | None = None) -> None:
        self._gpus = gpus
        self._cpus = CpuPool()

    @contextlib.contextmanager
    def reserved(self, cpus: float, token: StopToken) -> Iterator[ReservedResources]:
        """`cpus` cores and a GPU, as long as the context lasts. Waits for a free GPU.

        Raises:
            ModelCrashed: the run was stopped while it waited.
            EngineUnavailable: the pool of GPUs is empty.
        """
        with contextlib.ExitStack() as stack:
            gpu = stack.enter_context(self._gpus.reserved(token.check)) if self._gpus else None
            cores = stack.enter_context(self._cpus.reserved(cpus))
            yield ReservedResources(cores, gpu)
