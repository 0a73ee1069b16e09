"""A model on several devices: what its split computes, what travels over links, and how long a step takes."""

from bitsim.parallel.parallel import Parallel, parallel

__all__ = ["Parallel", "parallel"]
