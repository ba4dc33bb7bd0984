from .folder import FolderHub, folder_hash
from .huggingface import HuggingFaceHub
from .huggingface_check import check_on_hub
from .push import HubPush, merged_card

__all__ = [
    "FolderHub",
    "HubPush",
    "HuggingFaceHub",
    "check_on_hub",
    "folder_hash",
    "merged_card",
]
