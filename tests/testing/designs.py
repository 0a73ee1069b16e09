"""Small foreign designs, whole and broken."""

from types import SimpleNamespace
from typing import Any

import numpy as np


class Plain:
    """The matmul, with an event per product and a cycle per output; eight outputs would be free to differ."""

    def answer(self, x_q: Any, w: Any) -> dict[str, Any]:
        m, k, n = *x_q.shape, len(w)
        y = x_q.astype(np.int64) @ w.astype(np.int64).T
        return {"y": y, "events": {"product": m * k * n}, "cycles": m * n, "first_overflow": None}

    def execute(self, x_q: Any, w: Any) -> SimpleNamespace:
        return SimpleNamespace(**self.answer(x_q, w))


class Changed(Plain):
    """`change(answer, x_q, w)` spoils each answer."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def answer(self, x_q: Any, w: Any) -> dict[str, Any]:
        answer = super().answer(x_q, w)
        self.change(answer, x_q, w)
        return answer


class Tiled(Plain):
    """Calls of `Plain` for every two of K, as its answer tells."""

    def answer(self, x_q: Any, w: Any) -> dict[str, Any]:
        k = x_q.shape[1]
        calls = [
            SimpleNamespace(m=slice(0, len(x_q)), k=slice(i, min(i + 2, k)), n=slice(0, len(w))) for i in range(0, k, 2)
        ]
        whole = super().answer(x_q, w)
        return whole | {"calls": calls, "cycles": len(calls) * whole["cycles"]}
