from .check import GOLDEN, REMEDY, check_machine
from .golden import measured

__all__ = ["GOLDEN", "REMEDY", "check_machine", "measured"]
