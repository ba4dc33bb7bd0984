from .plan import ListeningTest
from .results import folder_of_test, save_test, summaries_below
from .server import ListeningRoom, chosen_clips, listening_app

__all__ = [
    "ListeningRoom",
    "ListeningTest",
    "chosen_clips",
    "folder_of_test",
    "listening_app",
    "save_test",
    "summaries_below",
]
