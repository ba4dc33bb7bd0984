from .address import page_address, read_address, save_address
from .invitations import new_invitations, read_invitations
from .plan import ListeningTest, usual_repeats
from .results import folder_of_test, save_test, summaries_below
from .room import ListeningRoom
from .server import listening_app
from .stimuli import chosen_clips

__all__ = [
    "ListeningRoom",
    "ListeningTest",
    "chosen_clips",
    "folder_of_test",
    "listening_app",
    "new_invitations",
    "page_address",
    "read_address",
    "read_invitations",
    "save_address",
    "save_test",
    "summaries_below",
    "usual_repeats",
]
