"""Statistics of real operands, for estimates without weights: measured on the shipped model, kept as data."""

from importlib.resources import files

import yaml

from bitsim.datapath.base import Statistics


def default_statistics() -> Statistics:
    """Averages over the BitLinear layers of tiny-b158, as `tools/measure_statistics.py` wrote them."""
    data = yaml.safe_load(files("bitsim").joinpath("study", "statistics.yaml").read_text(encoding="utf-8"))
    return Statistics(**data)
