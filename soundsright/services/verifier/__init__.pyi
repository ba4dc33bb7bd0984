from .serving import LastCheck, ServingProver, ServingProvers

__all__ = ["LastCheck", "ServingProver", "ServingProvers"]
