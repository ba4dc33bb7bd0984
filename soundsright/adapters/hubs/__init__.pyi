from .folder import FolderHub, folder_hash
from .huggingface import HuggingFaceHub
from .huggingface_check import ModelOnHub, model_on_hub
from .images import ImageFolders
from .plugins import HUB_PLUGINS, HubOptions, plugged_hub
from .push import HubPush, merged_card

__all__ = [
    "HUB_PLUGINS",
    "FolderHub",
    "HubOptions",
    "HubPush",
    "HuggingFaceHub",
    "ImageFolders",
    "ModelOnHub",
    "folder_hash",
    "merged_card",
    "model_on_hub",
    "plugged_hub",
]
