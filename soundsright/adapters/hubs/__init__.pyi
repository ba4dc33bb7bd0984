from .by_source import HubBySource
from .folder import FolderHub, folder_hash
from .huggingface import HuggingFaceHub
from .huggingface_check import ModelOnHub, model_on_hub
from .images import ImageFolders
from .plugins import HUB_PLUGINS, HubOptions, plugged_hub
from .push import HubPush, merged_card
from .sealed import SealedArchives, open_archive, seal_folder
from .stand_in_images import STAND_IN_HOST, StandInImages
from .visibility import make_public

__all__ = [
    "HUB_PLUGINS",
    "STAND_IN_HOST",
    "FolderHub",
    "HubBySource",
    "HubOptions",
    "HubPush",
    "HuggingFaceHub",
    "ImageFolders",
    "ModelOnHub",
    "SealedArchives",
    "StandInImages",
    "folder_hash",
    "make_public",
    "merged_card",
    "model_on_hub",
    "open_archive",
    "plugged_hub",
    "seal_folder",
]
