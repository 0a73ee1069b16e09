"""Model shapes: published families, one YAML file each with source and evidence of every shape, and a user's files."""

from bitsim.model.zoo.reader import SHAPE, load_shape, zoo_config, zoo_names
from bitsim.model.zoo.shape import Shape

__all__ = ["SHAPE", "Shape", "load_shape", "zoo_config", "zoo_names"]
