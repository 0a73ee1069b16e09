"""What one SRAM array takes: read off its node's grid, between and beyond the points.

Between two points the logarithm of an energy, an area or a time lies on a straight line over the logarithms of capacity
and width. Every number keeps the constants that it is made of (`bitsim.cost.price`).
"""

from bitsim.cost.price import Factor, Price, Term
from bitsim.floats.scalars import log
from bitsim.hw.constants import Constant
from bitsim.hw.sram import Flavour, Quantity, Sram

STEP = 4.0  # of capacity, by which `beyond` tells prices outside of the grid
ENERGIES: tuple[Quantity, ...] = ("read_pj", "write_pj")
_AROUND = 1.001


def array_price(sram: Sram, quantity: Quantity, capacity_kb: float, width_bits: float) -> Price:
    """A quantity of one array in the unit of its grid: pJ of one access, mm2 or ns.

    Outside of the grid, energy goes on by `sram.beyond`, area in proportion to capacity; time by `beyond.larger`, and
    not below that of the smallest array. An array n times wider than the grid has the energy, `beyond.wider` on top,
    and the area of n arrays that share its capacity.
    """
    grid, beyond, energy = sram.grid, sram.beyond, quantity in ENERGIES
    sizes, widths = grid.capacities_kb, grid.widths_bits
    arrays = 1.0 if quantity.endswith("_ns") else max(1.0, width_bits / widths[-1])
    each = capacity_kb / arrays
    inside, width = min(max(each, sizes[0]), sizes[-1]), min(max(width_bits, widths[0]), widths[-1])
    (i, t), (j, u) = _place(sizes, inside), _place(widths, width)
    weights = {(i, j): (1 - t) * (1 - u), (i + 1, j): t * (1 - u), (i, j + 1): (1 - t) * u, (i + 1, j + 1): t * u}
    factors = [
        Factor(f"{sram.name}: grid.{quantity} {grid.at(*place)}", grid.point(quantity, *place), weight)
        for place, weight in weights.items()
        if weight
    ]

    def more(key: str, constant: Constant | None, exponent: float = 1.0) -> None:
        if constant is not None and exponent:
            factors.append(Factor(f"{sram.name}: {key}", constant, exponent))

    more("interpolation", sram.interpolation)
    if energy:
        more("node_energy", sram.node_energy)
        more("silicon", sram.silicon)
        more("beyond.smaller", beyond.smaller, max(0.0, log(inside / each) / log(STEP)))
        more("beyond.narrower", beyond.narrower, max(0.0, log(width / width_bits) / log(2)))
        more("beyond.wider", beyond.wider, log(arrays) / log(2))
    elif quantity == "area_mm2":
        more("silicon_area", sram.silicon_area)
        arrays *= each / inside
    else:
        more("silicon_time", sram.silicon_time)
    if quantity != "area_mm2":
        more("beyond.larger", beyond.larger, max(0.0, log(each / inside) / log(STEP)))
    return Price((Term(arrays, tuple(factors)),))


def access_ns(sram: Sram, flavour: Flavour, capacity_kb: float, width_bits: float) -> Price:
    """Access time of an array in ns, at `sram.supply`."""
    return array_price(sram, "fast_ns" if flavour == "high_performance" else "slow_ns", capacity_kb, width_bits)


def slope(sram: Sram, quantity: Quantity, capacity_kb: float, width_bits: float) -> float:
    """With which power of the capacity a quantity changes around a capacity."""
    more, less = (array_price(sram, quantity, capacity_kb * by, width_bits).nominal for by in (_AROUND, 1 / _AROUND))
    return log(more / less) / (2 * log(_AROUND))


def _place(points: tuple[float, ...] | tuple[int, ...], value: float) -> tuple[int, float]:
    """The point at or below a value, and how far from it to the next one it lies, on a scale of logarithms."""
    i = max(k for k in range(len(points) - 1) if points[k] <= value)
    return i, log(value / points[i]) / log(points[i + 1] / points[i])
