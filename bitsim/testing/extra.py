"""hypothesis, which comes with the extra `test`: the one place that imports it."""

from bitsim.errors import BitsimError


class MissingExtraError(BitsimError):
    """A package of an extra is not installed."""


try:
    from hypothesis import HealthCheck, given, settings, strategies
    from hypothesis.errors import Flaky
    from hypothesis.extra.numpy import arrays
except ImportError as error:
    raise MissingExtraError(
        f"bitsim.testing: expected the package hypothesis, which generates operands ({error}); "
        "pip install bitsim-hw[test]"
    ) from error

__all__ = ["Flaky", "HealthCheck", "arrays", "given", "settings", "strategies"]
