from .folder import FolderHub, folder_hash
from .huggingface import HuggingFaceHub
from .huggingface_check import check_on_hub
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
    "check_on_hub",
    "folder_hash",
    "merged_card",
    "plugged_hub",
]
