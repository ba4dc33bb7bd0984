from .rulesets import organiser_of, text_of_file
from .sandboxes import SandboxChoice, opened_sandbox

__all__ = [
    "SandboxChoice",
    "opened_sandbox",
    "organiser_of",
    "text_of_file",
]
