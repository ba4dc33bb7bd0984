"""The rules of payment as data: the organiser's file, explanations, and test vectors.

`organiser_of_toml` reads the decisions of an organiser and names the first mistake in the file.
`check_vectors` checks an implementation of the rules against published test vectors.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
