from .check import GOLDEN, check_machine
from .golden import measured

__all__ = ["GOLDEN", "check_machine", "measured"]
