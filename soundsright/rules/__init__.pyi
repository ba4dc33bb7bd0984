from .explain import competitions_text, entries_text, explained, leaderboard_text
from .organiser import MAX_FILE_CHARS, entries_facts, organiser_of_toml
from .vectors import check_vectors

__all__ = [
    "MAX_FILE_CHARS",
    "check_vectors",
    "competitions_text",
    "entries_facts",
    "entries_text",
    "explained",
    "leaderboard_text",
    "organiser_of_toml",
]
