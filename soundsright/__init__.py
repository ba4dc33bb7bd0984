"""SoundsRight: the open competition harness for speech enhancement."""

__version__ = "0.1.0"
