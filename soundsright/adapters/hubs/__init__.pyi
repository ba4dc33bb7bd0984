from .by_source import HubBySource
from .folder import FolderHub, folder_hash
from .huggingface import HuggingFaceHub
from .huggingface_check import ModelOnHub, model_on_hub
from .images import ImageFolders
from .plugins import HUB_PLUGINS, HubOptions, plugged_hub
from .push import HubPush, merged_card
from .sealed import SealedArchives, open_archive, seal_folder
from .visibility import make_public

__all__ = [
    "HUB_PLUGINS",
    "FolderHub",
    "HubBySource",
    "HubOptions",
    "HubPush",
    "HuggingFaceHub",
    "ImageFolders",
    "ModelOnHub",
    "SealedArchives",
    "folder_hash",
    "make_public",
    "merged_card",
    "model_on_hub",
    "open_archive",
    "plugged_hub",
    "seal_folder",
]
