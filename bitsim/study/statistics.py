"""Statistics of real operands, for estimates without weights: measured on the shipped models, kept as data."""

from importlib.resources import files

import yaml

from bitsim.datapath.base import Statistics, ToggleRates


def default_statistics() -> Statistics:
    """What `tools/measure_statistics.py` measured and wrote."""
    data = yaml.safe_load(files("bitsim").joinpath("study", "statistics.yaml").read_text(encoding="utf-8"))
    rates = {pe: ToggleRates(**values) for pe, values in data["rates"].items()}
    return Statistics(weight_zeros=data["weight_zeros"], rates=rates, source=data["source"])
