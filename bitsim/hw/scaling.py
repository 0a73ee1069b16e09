"""How area, energy and delay of CMOS logic change from node to node: published curves, inside of their range only.

Source: A. Stillmaker, B. Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm to
7 nm", Integration 58 (2017) 74-81, doi 10.1016/j.vlsi.2017.02.002: fits to HSpice with PTM and ITRS models. The paper
itself was not at hand. The numbers are those of nodeScale.py in wromaszkan/nodeScale @0676b74, which cites it. A second
transcription, hwcomponents/scaling/techscaling.py in Accelergy-Project/hwcomponents @373ccd9, has the same areas and
energy coefficients (the low-power rows at 45 and 32 nm), and the authors' corrigendum prints the coefficients of 65 nm
and 32 nm. 180 nm, which only the first one has, is left out; delays are those of the first one only.

Area factors are printed with two digits. Between two tabled nodes a factor lies on a straight line in log-log: our own.
"""

from itertools import pairwise

from bitsim.errors import ConfigError
from bitsim.floats.scalars import log, power

# Area of a circuit relative to the same in 7 nm, by node in nm.
AREA = {130: 110, 90: 48, 65: 25, 45: 17, 32: 7.8, 20: 3.6, 16: 3.2, 14: 2.9, 10: 1.7, 7: 1}
# Energy per operation is proportional to a V^2 + b V + c: (a, b, c) by node, high-performance rows from 45 nm on.
ENERGY = {
    130: (7.171, -6.709, 2.904),
    90: (4.762, -4.781, 2.092),
    65: (3.755, -4.398, 1.975),
    45: (1.018, -0.3107, 0.1539),
    32: (0.8367, -0.4341, 0.1701),
    20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024),
    14: (0.2363, -0.09675, 0.02239),
    10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}
# Delay of a gate is proportional to a V^3 + b V^2 + c V + d: (a, b, c, d) by node, the same rows.
DELAY = {
    130: (-76.65, 334.9, -493.4, 275.8),
    90: (-60.34, 262.5, -384.2, 210.9),
    65: (-53.3, 230.4, -333.9, 178.6),
    45: (-501.6, 1567.0, -1619.0, 566.1),
    32: (-1047.0, 2982.0, -2797.0, 873.5),
    20: (0.0, 34.63, -66.37, 41.15),
    16: (0.0, 24.8, -47.52, 28.87),
    14: (-40.66, 109.2, -100.6, 35.92),
    10: (-34.95, 93.65, -85.99, 30.4),
    7: (-28.58, 76.6, -70.26, 24.69),
}


def area_factor(start_nm: float, end_nm: float) -> float:
    """Area of a circuit at `end_nm` over its area at `start_nm`; raises `ConfigError` outside of 7 .. 130 nm."""
    table = {float(node): float(area) for node, area in AREA.items()}
    return _at(end_nm, table, "area") / _at(start_nm, table, "area")


def energy_factor(start_nm: float, start_v: float, end_nm: float, end_v: float) -> float:
    """Energy per operation at a node and supply (V) over that at another; raises `ConfigError` outside of 7 .. 130 nm.

    The curves are fits over supplies around the nominal ones; a supply at which one is not positive raises.
    """
    return _energy(end_nm, end_v) / _energy(start_nm, start_v)


def delay_factor(start_nm: float, start_v: float, end_nm: float, end_v: float) -> float:
    """Delay of a gate at a node and supply (V) over that at another; raises `ConfigError` outside of 7 .. 130 nm.

    The curves bend up again above the nominal supplies; a supply at which one is not positive raises.
    """
    return _delay(end_nm, end_v) / _delay(start_nm, start_v)


def _delay(node_nm: float, supply_v: float) -> float:
    table = {float(node): a * supply_v**3 + b * supply_v**2 + c * supply_v + d for node, (a, b, c, d) in DELAY.items()}
    return _at(node_nm, _positive(table, supply_v), "delay")


def _positive(table: dict[float, float], supply_v: float) -> dict[float, float]:
    if supply_v <= 0 or min(table.values()) <= 0:
        raise ConfigError(f"scaling: expected a supply for which the published curves are positive, got {supply_v:g} V")
    return table


def _energy(node_nm: float, supply_v: float) -> float:
    table = {float(node): a * supply_v**2 + b * supply_v + c for node, (a, b, c) in ENERGY.items()}
    return _at(node_nm, _positive(table, supply_v), "energy")


def _at(node_nm: float, table: dict[float, float], what: str) -> float:
    """The value at a node, on a straight line in log-log between tabled ones."""
    if not min(table) <= node_nm <= max(table):
        raise ConfigError(
            f"scaling: {what} at {node_nm:g} nm: expected a node within {min(table):g} .. {max(table):g} nm, which the "
            "published curves cover; they are not extrapolated"
        )
    if node_nm in table:
        return table[node_nm]
    above, below = next((a, b) for a, b in pairwise(sorted(table, reverse=True)) if b < node_nm < a)
    t = log(node_nm / above) / log(below / above)
    return power(table[above], 1 - t) * power(table[below], t)
