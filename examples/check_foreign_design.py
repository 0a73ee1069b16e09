"""A design that bitsim does not know, checked against bitsim's laws: python examples/check_foreign_design.py

Four lanes multiply activations of 8 bits with weights of -1, 0, 1 and add up the products; an accumulator of 12 bits
takes their sum and saturates. Replace `FourLanes` by your own class, or `FourLanes().execute` by a function that drives
your RTL simulation (`bitsim.testing.design_of`).
"""

from types import SimpleNamespace

import numpy as np

from bitsim.testing import Takes, accumulator, check_laws

LANES, BITS = 4, 12


class FourLanes:
    """One output after another, four products per clock."""

    high = 2 ** (BITS - 1) - 1

    def start(self) -> int:
        """The accumulator before an output's first clock."""
        return 0

    def row(self, acts: np.ndarray, weights: np.ndarray) -> list[int]:
        """The sums of four products each."""
        products = [int(a) * int(b) for a, b in zip(acts, weights, strict=True)]
        return [sum(products[k : k + LANES]) for k in range(0, len(products), LANES)]

    def execute(self, x_q: np.ndarray, w: np.ndarray) -> SimpleNamespace:
        """`x_q` (M, K) times `w` (N, K) transposed."""
        y, lost, cycles = np.zeros((len(x_q), len(w)), int), [], 0
        for m, acts in enumerate(x_q):
            for n, weights in enumerate(w):
                acc = self.start()
                for clock, total in enumerate(self.row(acts, weights)):
                    acc, cycles = acc + total, cycles + 1
                    if not -self.high - 1 <= acc <= self.high:
                        acc = max(-self.high - 1, min(acc, self.high))
                        lost.append((m, clock * LANES, n))
                y[m, n] = acc
        first = min(lost, default=None)
        return SimpleNamespace(y=y, events={"overflow.acc": len(lost)}, cycles=cycles, first_overflow=first)


TAKES = Takes(acts=(-128, 127), weights=(-1, 1), tile=(1, LANES, 1))
SUMS = accumulator(BITS, "saturate", lanes=LANES)

if __name__ == "__main__":
    check_laws(FourLanes(), TAKES, sums=SUMS)
