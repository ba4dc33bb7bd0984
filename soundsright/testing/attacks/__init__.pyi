from .catalogue import ATTACKS, attack_by_name
from .measure import CLIPS, POOL_SIZE, Arena, Measured
from .scenes import Attack, Scene
from .worlds import World

__all__ = ["ATTACKS", "CLIPS", "POOL_SIZE", "Arena", "Attack", "Measured", "Scene", "World", "attack_by_name"]
