"""Checkpoints on disk: written completely or not at all, and read without running code from them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

from torch import Tensor

from examples.finetune.network import Network, NetworkConfig
from soundsright.core.errors import UsageError
from soundsright.data.journal import written_atomically


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a trainer's state. If the process is killed meanwhile, the earlier state remains."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as stream:
        torch.save(state, stream)


def load_state(path: Path, expected_format: str) -> dict[str, Any]:
    """The state that `save_state` wrote.

    Raises:
        UsageError: there is no checkpoint, it is damaged, or it has another format.
    """
    import torch

    if not path.is_file():
        raise UsageError(f"There is no checkpoint at {path}", "Train without --resume first.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UsageError(f"The checkpoint {path} is damaged ({reason})", "Remove it and train again.") from error
    if not isinstance(state, dict) or state.get("format") != expected_format:
        raise UsageError(f"{path} is not a checkpoint of this trainer", "Give a last.pt that train.py wrote.")
    return state


def save_weights(path: Path, weights: dict[str, Any], config: NetworkConfig) -> None:
    """Write weights and the network's configuration as safetensors."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    with written_atomically(path) as stream:
        stream.write(save(tensors, metadata={"network": json.dumps(config.as_json)}))


def load_network(path: Path) -> Network:
    """The network with the weights of the file.

    Raises:
        UsageError: the file is missing or damaged, or has weights of another network.
    """
    weights, config = load_weights(path)
    network = Network(config)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UsageError(
            f"The weights in {path} do not match the configuration in it", "Give another file of weights."
        ) from error
    network.eval()
    return network


def load_weights(path: Path) -> tuple[dict[str, Any], NetworkConfig]:
    """Weights by name, and the configuration of their network.

    Raises:
        UsageError: as `load_network`.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UsageError(f"There are no weights at {path}", "Give a .safetensors file that train.py wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            config = NetworkConfig.from_json(json.loads((file.metadata() or {})["network"]))
            return {name: file.get_tensor(name) for name in file.keys()}, config  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise UsageError(f"{path} has no weights of a baseline ({error})", "Give another file.") from error


def start_from(network: Network, path: Path) -> list[str]:
    """Copy the tensors of a file that have the same names and shapes. Returns the names of the other tensors.

    A network for 48 kHz gets the lower bands and all recurrent layers of one for 16 kHz; its bands above 8 kHz
    start as copies of the highest band below. Blocks that the file lacks start with zero output, so a deeper
    network starts with the results of the shallower one.

    Raises:
        UsageError: no tensor fits.
    """
    weights, _ = load_weights(path)
    own = network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    for name in set(own) - set(weights):
        part, _, group = name.rpartition(".")
        below = weights.get(f"{part}.{int(group) - 1}") if group.isdecimal() else None
        if name.split(".")[2:3] in (["time_out"], ["band_out"]):
            fitting[name] = 0.0 * own[name]
        elif below is not None and part in ("split.weights", "split.biases", "join.weights", "join.biases"):
            fitting[name] = _copies(below[-1], own[name], averaged=part == "split.weights")
    if not fitting:
        raise UsageError(f"No tensor in {path} fits this network", "Give weights with the same number of channels.")
    network.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def _copies(band: Tensor, like: Tensor, *, averaged: bool) -> Tensor:
    """One band's weights, repeated for several wider bands whose width is a multiple of its width."""
    times = [wide // narrow for wide, narrow in zip(like.shape[1:], band.shape, strict=True)]
    repeated = band.repeat(times).expand(like.shape).clone()
    return repeated / max(times) if averaged else repeated
