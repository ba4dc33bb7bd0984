"""Speech, noise and rooms, and the clips drawn from them.

`draw_clip` makes one clip from a seed and a recipe: the same bytes on any machine, in any order.
`generate_set` writes a whole set to disk.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
