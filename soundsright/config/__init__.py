"""Settings of the miner and the validator: flags, variables and a `.env` file in, one frozen object out.

`schema` lists the settings with their types, defaults and meanings. `reading` merges the three places where you can
write a setting. `env_file` reads a `.env` file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
