"""One quantised linear on several devices, executed on real tensors: with groups, and without.

Device d sees its own part of X and W and what arrives in messages, nothing else. Its sums come from a datapath. Splits:

* "n" (columns): the whole token is everywhere, device d computes N / D outputs; outputs are not joined.
* "k" (rows): device d has K / D of the token and of every output's weights; the parts of an output are summed.

With groups (`grouped=True`) every device quantises its own part by itself; for "k" the rescaled float32 outputs are
joined, and rounding follows the order of the all-reduce. Without groups the quantisers' parameters are those of whole
tensors and joined first: alpha and beta as exact sums, gamma as a maximum and eta as a minimum; then the integer sums,
which no order changes.

Source: arXiv 2310.11453 section 2, "Model parallelism with Group Quantization and Normalization".
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.protocol import Datapath
from bitsim.errors import OperandError
from bitsim.hw.link import Link
from bitsim.parallel.allreduce import Algorithm, Traffic
from bitsim.parallel.exchange import Combine, Network, exchange
from bitsim.quant.b1 import NonNegativeQuantiser
from bitsim.quant.base import Contract, Float32, Int8
from bitsim.quant.exact_means import EXACT_SUM_BYTES, exact_sum, mean_of_sum
from bitsim.quant.groups import Axis, quantise_activation_groups, quantise_weight_groups, rescale_groups
from bitsim.quant.scaled import ScaledQuantiser
from bitsim.quant.weights import as_float32, binarise, signs_above

FLOAT_BYTES, SUM_BYTES = 4, 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """What one linear gave.

    `x_codes`: int8 (M, K); `w_codes`: int8 (N, K); `sums`: integers (M, N), or (D, M, N) where each group of K has its
    own; `y`: float32 (M, N). `exchanged`: by what was joined, its messages; `calls`: how many all-reduces that took.
    """

    x_codes: Int8
    w_codes: Int8
    sums: Array
    y: Float32
    exchanged: Mapping[str, Traffic]
    calls: Mapping[str, int]


def on_one(contract: Contract, datapath: Datapath, x: Float32, w: Float32, *, groups: int = 1, axis: Axis) -> Linear:
    """The layer with `groups` groups on a single device, in the order of `rescale_groups`."""
    codes, scales = quantise_weight_groups(contract, w, groups, axis)
    if axis == "n":
        q, s = contract.quantise_activations(x)
        sums = datapath.execute(q, codes).y
    else:
        q, s = quantise_activation_groups(contract, x, groups)
        pairs = zip(np.split(q, groups, axis=1), np.split(codes, groups, axis=1), strict=True)
        sums = np.stack([datapath.execute(np.ascontiguousarray(a), np.ascontiguousarray(b)).y for a, b in pairs])
    y = rescale_groups(contract, sums, s, scales, axis)
    return Linear(x_codes=q, w_codes=codes, sums=sums, y=y, exchanged={}, calls={})


def on_devices(
    contract: Contract,
    datapath: Datapath,
    x: Float32,
    w: Float32,
    *,
    devices: int,
    axis: Axis,
    grouped: bool,
    link: Link,
    algorithm: Algorithm = "chain",
) -> Linear:
    """The same linear on `devices`; with `grouped` as many groups.

    Bit-exact: with groups equal to `on_one` with `groups=devices` (split "k": with algorithm "chain"; ring and tree add
    the same float32 parts in their own order). Without groups equal to `on_one` with one group, which needs a contract
    whose weights are signs and whose activations are scaled by a maximum (b1). Raises `OperandError` if `devices`
    doesn't divide the split dimension.
    """
    along = w.shape[0] if axis == "n" else w.shape[1]
    if devices < 1 or along % devices:
        raise OperandError(f"devices: expected a divisor of {axis.upper()} = {along}, got {devices}")
    parts = [np.ascontiguousarray(part) for part in np.split(w, devices, axis=0 if axis == "n" else 1)]
    tokens = [x] * devices if axis == "n" else [np.ascontiguousarray(part) for part in np.split(x, devices, axis=1)]
    mesh = _Mesh(link, devices, algorithm)
    if grouped:
        weights = [contract.quantise_weights(part) for part in parts]
        acts = [contract.quantise_activations(token) for token in tokens]
    else:
        weights = _join_weights(contract, mesh, parts)
        acts = [contract.quantise_activations(x)] * devices if axis == "n" else _join_acts(contract, mesh, tokens)
    sums = [datapath.execute(q, codes).y for (q, _), (codes, _) in zip(acts, weights, strict=True)]
    if axis == "k" and not grouped:
        sums = mesh.join("sums", sums, np.add, SUM_BYTES)
    outputs = [contract.rescale(acc, s, mean) for acc, (_, s), (_, mean) in zip(sums, acts, weights, strict=True)]
    if axis == "k" and grouped:
        outputs = mesh.join("outputs", outputs, np.add, FLOAT_BYTES)
    by_column = axis == "n"
    return Linear(
        x_codes=acts[0][0] if by_column else np.concatenate([q for q, _ in acts], axis=1),
        w_codes=np.concatenate([codes for codes, _ in weights], axis=0 if by_column else 1),
        sums=np.concatenate(sums, axis=1) if by_column else np.stack(sums) if grouped else sums[0],
        y=np.concatenate(outputs, axis=1) if by_column else outputs[0],
        exchanged=mesh.exchanged,
        calls=mesh.calls,
    )


class _Mesh:
    """All-reduces among the devices, booked by what they join."""

    def __init__(self, link: Link, devices: int, algorithm: Algorithm) -> None:
        self._link, self._devices, self._algorithm = link, devices, algorithm
        self.exchanged: dict[str, Traffic] = {}
        self.calls: Counter[str] = Counter()

    def join(self, what: str, held: list[Array], combine: Combine, element_bytes: int) -> list[Array]:
        network = Network(self._link, self._devices)
        joined = exchange(network, held, combine, self._algorithm, element_bytes)
        self.exchanged[what] = self.exchanged.get(what, Traffic()) + network.traffic
        self.calls[what] += 1
        return joined

    def mean(self, what: str, parts: list[Float32]) -> list[np.float32]:
        """The mean over all parts, on every device: exact sums travel, and are rounded once."""
        held = [np.array([exact_sum(part)], dtype=object) for part in parts]
        size = sum(part.size for part in parts)
        return [mean_of_sum(total[0], size) for total in self.join(what, held, np.add, EXACT_SUM_BYTES)]


def _join_weights(contract: Contract, mesh: _Mesh, parts: list[Float32]) -> list[tuple[Int8, np.float32]]:
    if contract.quantise_weights is not binarise:
        raise OperandError(f"{contract.name}: a split without groups is executed for binary weights (contract b1) only")
    parts = [as_float32(part) for part in parts]
    alphas = mesh.mean("alpha", parts)
    betas = mesh.mean("beta", [np.abs(part) for part in parts])
    codes = [signs_above(part, alpha) for part, alpha in zip(parts, alphas, strict=True)]
    return list(zip(codes, betas, strict=True))


def _join_acts(contract: Contract, mesh: _Mesh, tokens: list[Float32]) -> list[tuple[Int8, Float32]]:
    quantiser: Callable[..., object] = contract.quantise_activations
    if isinstance(quantiser, NonNegativeQuantiser):
        measured = [quantiser.measure(token) for token in tokens]
        etas = mesh.join("eta", [eta for eta, _ in measured], np.minimum, FLOAT_BYTES)
        largest = mesh.join("gamma", [t for _, t in measured], np.maximum, FLOAT_BYTES)
        return [quantiser.quantise(*own)[:2] for own in zip(tokens, etas, largest, strict=True)]
    if not (isinstance(quantiser, ScaledQuantiser) and quantiser.scaled_by == "absmax"):
        raise OperandError(f"{contract.name}: a split without groups is executed for absmax activations only")
    gammas = mesh.join("gamma", [quantiser.measure(token) for token in tokens], np.maximum, FLOAT_BYTES)
    return [quantiser.quantise(token, gamma) for token, gamma in zip(tokens, gammas, strict=True)]
