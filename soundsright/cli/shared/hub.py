"""The model hub that the settings name, and whether it has a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.config import Settings
    from soundsright.core.ports import ModelHub
    from soundsright.core.sources import ModelRef


def opened_hub(settings: Settings) -> ModelHub:
    """The hub that the settings name, with its cache below STATE_FOLDER.

    Raises:
        UsageError: there is none.
    """
    root = settings.soundsright_hub
    if root is None:
        from soundsright.adapters.hubs import HuggingFaceHub

        return HuggingFaceHub(settings.hf_endpoint, settings.folder / "cache", token=_token(settings))
    if not root.expanduser().is_dir():
        raise UsageError(f"SOUNDSRIGHT_HUB {root} is no folder", "Give the folder of a private hub, or clear it.")
    from soundsright.adapters.hubs import FolderHub

    return FolderHub(root.expanduser(), settings.folder / "cache")


def check_model(settings: Settings, model: ModelRef) -> None:
    """See that the hub has the model at that commit, for everybody to fetch.

    Raises:
        UsageError: it has not.
        HubUnavailable: it does not answer.
    """
    root = settings.soundsright_hub
    if root is None:
        from soundsright.adapters.hubs import check_on_hub

        check_on_hub(settings.hf_endpoint, model, token=_token(settings))
        return
    folder = root.expanduser() / model.namespace / model.name / model.revision
    if not (folder / "Dockerfile").is_file():
        raise UsageError(
            f"SOUNDSRIGHT_HUB {root} holds no {model} with a Dockerfile",
            "Publish it there with `soundsright chain publish`, and give the revision that it prints.",
        )


def _token(settings: Settings) -> str | None:
    return settings.hf_token.get_secret_value() if settings.hf_token is not None else None
