from .catalogue import ATTACKS, attack_by_name
from .measure import Measured, measured
from .scenes import Attack, Scene
from .worlds import World, world_of

__all__ = ["ATTACKS", "Attack", "Measured", "Scene", "World", "attack_by_name", "measured", "world_of"]
