"""The verifier of served models: it asks provers for private clips and compares their answers with its own run.

Each interval it draws a bank of clips for each prover, runs the committed model on them once, and asks in steps.
At the interval's end each prover moves up or down the tiers by its rate. Nothing from a prover is trusted.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
