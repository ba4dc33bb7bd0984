from .explain import competitions_text, entries_text, explained, leaderboard_text
from .organiser import MAX_FILE_CHARS, entries_facts, organiser_of_toml
from .systems import SYSTEM_TABLES, system_rules, systems_text
from .vectors import check_vectors

__all__ = [
    "MAX_FILE_CHARS",
    "SYSTEM_TABLES",
    "check_vectors",
    "competitions_text",
    "entries_facts",
    "entries_text",
    "explained",
    "leaderboard_text",
    "organiser_of_toml",
    "system_rules",
    "systems_text",
]
