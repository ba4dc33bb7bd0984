"""Ends the program with one line if torch is not installed. Programs that need torch import this module first."""

import sys

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    print(
        "Error: torch is not installed. Install the build for your machine, then run pip install -e '.[train]'.",
        file=sys.stderr,
    )
    sys.exit(2)
