"""The functions of `import soundsright`, and the code that they share with the command line.

Each function joins services and adapters like a command, and returns typed results instead of text.
`soundsright.cli` imports from here; nothing here imports from `soundsright.cli`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
