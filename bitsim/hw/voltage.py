"""A supply other than the one that logic was synthesised at: how far it may go, and what it does to delays.

Dynamic energy goes with V^2 (charging a capacitance); a delay with `V / (V - threshold)^alpha`, the alpha-power law.
Source: T. Sakurai, A. R. Newton, IEEE JSSC 25(2), 1990; the paper itself was not at hand.
"""

from typing import Annotated

from bitsim.floats.scalars import power
from bitsim.hw.constants import Constant, Described, in_unit


class VoltageRule(Described):
    """How the logic of a technology follows its supply, and where that ends.

    * `threshold`: the threshold of the alpha-power law, an effective one. `alpha`: its exponent.
    * `headroom`: how far a supply must lie above the threshold. `most`: the largest supply over the nominal one.
    """

    threshold: Annotated[Constant, in_unit("V", positive=True)]
    alpha: Annotated[Constant, in_unit("ratio", positive=True)]
    headroom: Annotated[Constant, in_unit("V", positive=True)]
    most: Annotated[Constant, in_unit("ratio", positive=True)]

    def least_v(self) -> float:
        """The lowest supply that the law is used for."""
        return self.threshold.nominal + self.headroom.nominal

    def most_v(self, supply_v: float) -> float:
        """The highest supply, for a nominal one of `supply_v`."""
        return self.most.nominal * supply_v

    def outside(self, volts: float, supply_v: float) -> str:
        """What is wrong with a supply: the range and the source of the end that it lies beyond; empty if nothing."""
        least, most = self.least_v(), self.most_v(supply_v)
        if least <= volts <= most:
            return ""
        end = self.headroom if volts < least else self.most
        low = f"the threshold of {self.threshold.nominal:g} V and {self.headroom.nominal:g} V above it"
        high = f"{self.most.nominal:g} times the nominal {supply_v:g} V"
        why = low if volts < least else high
        return f"expected {least:.4g} to {most:.4g} V, where {why} end it: {end.source} (got {volts:g} V)"

    def slowdown(self, volts: float, supply_v: float) -> tuple[float, float, float]:
        """Delay at `volts` over that at `supply_v`: for the low, nominal and high threshold, in ascending order."""
        thresholds = (self.threshold.low, self.threshold.nominal, self.threshold.high)
        low, nominal, high = sorted(self._delay(volts, v) / self._delay(supply_v, v) for v in thresholds)
        return low, nominal, high

    def _delay(self, volts: float, threshold_v: float) -> float:
        return volts / power(volts - threshold_v, self.alpha.nominal)
