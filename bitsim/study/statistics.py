"""Statistics of real operands, for estimates without weights: measured on the shipped models, kept as data."""

from importlib.resources import files

import yaml

from bitsim.datapath.base import Statistics


def default_statistics() -> Statistics:
    """What `tools/measure_statistics.py` measured and wrote."""
    data = yaml.safe_load(files("bitsim").joinpath("study", "statistics.yaml").read_text(encoding="utf-8"))
    return Statistics(weight_zeros=data["weight_zeros"], rates=data["rates"], source=data["source"])
