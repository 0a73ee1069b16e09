"""Published designs of which nothing can be predicted without inventing a parameter (`unpredicted.yaml`)."""

from collections.abc import Iterator
from importlib.resources import files

import yaml

from reports.predictions.common import Prediction


def unpredicted() -> Iterator[Prediction]:
    """One row for each, without a value."""
    text = files("reports").joinpath("predictions", "unpredicted.yaml").read_text(encoding="utf-8")
    for key, said in yaml.safe_load(text).items():
        yield Prediction(
            key=key,
            chip=said["design"],
            quantity=said["quantity"],
            unit=said["unit"],
            value=None,
            reason=said["reason"],
        )
