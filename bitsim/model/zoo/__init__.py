"""Published model families as shapes: one YAML file per family, with the source and the evidence of every shape."""

from bitsim.model.zoo.reader import ZooEntry, zoo_config, zoo_entry, zoo_names

__all__ = ["ZooEntry", "zoo_config", "zoo_entry", "zoo_names"]
