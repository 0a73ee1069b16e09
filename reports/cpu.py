"""bitnet.cpp's speed and energy on an Apple M2 Ultra (arXiv 2410.16144): two sizes fitted, all others predicted."""

from collections.abc import Mapping

from bitsim.errors import BitsimError
from bitsim.hw.cpu import Cpu, load_cpu
from bitsim.model.config import ModelConfig
from bitsim.model.zoo import zoo_config
from bitsim.serving.cpu import Consumption, Speed, fit_consumption, fit_speed, stated_speed, token_time
from reports.comparison import Label, Row, published
from reports.cpu_figure import draw
from reports.report import Progress, Report, comparison_report

CPU, LAPTOP = "apple-m2-ultra", "intel-i7-13800h"
FITTED_ON = ("700M", "70B")  # the smallest and the largest size of which speed and energy are published
PROGRAMS = {"llama.cpp": "bitnetcpp-f16-", "bitnet.cpp": "bitnetcpp-"}
SPEED_PARAMETERS = ("overhead of a layer", "efficiency of memory")
ENERGY_PARAMETERS = ("power", "energy per byte")


def configs(program: str, sizes: Mapping[str, float | None]) -> dict[str, ModelConfig]:
    """The models of a program by size; those without a published number are left out."""
    return {size: zoo_config(PROGRAMS[program] + size.lower()) for size, value in sizes.items() if value is not None}


def fitted_speed(cpu: Cpu, program: str) -> Speed:
    """From the two published speeds."""
    sizes = published("2410.16144")["speed"][program]
    models = configs(program, sizes)
    return fit_speed(cpu, [(models[size], 1 / sizes[size]) for size in FITTED_ON])


def fitted_consumption(cpu: Cpu, program: str) -> Consumption:
    """From the two published energies, at the times of the fitted speed."""
    sizes = published("2410.16144")["energy"][program]
    models, speed = configs(program, sizes), fitted_speed(cpu, program)
    times = [token_time(cpu, models[size], speed) for size in FITTED_ON]
    return fit_consumption([(models[size], sizes[size]) for size in FITTED_ON], times)


def speed_rows() -> list[Row]:
    """Tokens per second of all sizes, and what the description alone allows."""
    cpu, data, rows = load_cpu(CPU), published("2410.16144"), []
    table = data["speed"]
    for program in PROGRAMS:
        speed = fitted_speed(cpu, program)
        said = f"{1e6 * speed.layer_s:.0f} us per layer, {100 * speed.efficiency:.1f} % of {cpu.bandwidth.text()}"
        for size, config in configs(program, table[program]).items():
            rows.append(
                Row(
                    paper=data["paper"],
                    location=table["location"],
                    item=f"{program} {size}",
                    unit=table["unit"],
                    published=table[program][size],
                    ours=1 / token_time(cpu, config, speed),
                    label=_label(size),
                    parameters=SPEED_PARAMETERS,
                    uncertainty=0.005,
                    note=f"{said}, from {' and '.join(FITTED_ON)}; at peak rates "
                    f"{1 / token_time(cpu, config, stated_speed(cpu)):.4g}",
                )
            )
    return rows


def energy_rows() -> list[Row]:
    """Joules per token."""
    cpu, data, rows = load_cpu(CPU), published("2410.16144"), []
    table = data["energy"]
    for program in PROGRAMS:
        speed, consumption = fitted_speed(cpu, program), fitted_consumption(cpu, program)
        said = f"{consumption.watts:.1f} W and {1e12 * consumption.joules_per_byte / 8:.1f} pJ/bit"
        for size, config in configs(program, table[program]).items():
            rows.append(
                Row(
                    paper=data["paper"],
                    location=table["location"],
                    item=f"{program} {size} energy",
                    unit=table["unit"],
                    published=table[program][size],
                    ours=consumption.joules(config, token_time(cpu, config, speed)),
                    label=_label(size),
                    parameters=(*ENERGY_PARAMETERS, *SPEED_PARAMETERS),
                    uncertainty=0.005,
                    note=f"{said}, from {' and '.join(FITTED_ON)}",
                )
            )
    return rows


def ratio_rows() -> list[Row]:
    """Speed-ups of bitnet.cpp over llama.cpp: both predicted, or both fitted."""
    found = {row.item: row for row in speed_rows()}
    rows = []
    for size, value in published("2410.16144")["speed"]["llama.cpp"].items():
        if value is None:
            continue
        ternary, full = found[f"bitnet.cpp {size}"], found[f"llama.cpp {size}"]
        if None in (ternary.published, full.published, ternary.ours, full.ours):
            raise BitsimError(f"speed-up of {size}: expected both speeds")
        rows.append(
            Row(
                paper=ternary.paper,
                location=ternary.location,
                item=f"bitnet.cpp / llama.cpp {size}",
                unit="ratio",
                published=(ternary.published or 0) / (full.published or 1),
                ours=(ternary.ours or 0) / (full.ours or 1),
                label=ternary.label,
                parameters=SPEED_PARAMETERS,
                note="the published one is the quotient of the two columns",
            )
        )
    return rows


def laptop_row() -> Row:
    """b1.58 2B4T on a laptop's x86: nothing to fit with, so that only the lower bound at peak rates stands there."""
    cpu, data = load_cpu(LAPTOP), published("2504.12285")
    entry = data["cpu_time"]
    return Row(
        paper=data["paper"],
        location=entry["location"],
        item=f"b1.58 2B4T on {cpu.name}",
        unit=entry["unit"],
        published=entry["value"],
        ours=1e3 * token_time(cpu, zoo_config("bitnet-b158-2b4t"), stated_speed(cpu)),
        label="derived",
        uncertainty=0.5,
        note="a lower bound: 2-bit linears and FP16 head at the peak of the memory; nothing published to fit with",
    )


def _label(size: str) -> Label:
    return "fitted" if size in FITTED_ON else "predicted"


def cpu_rows() -> list[Row]:
    """Everything that `bitsim reproduce cpu` prints."""
    return [*speed_rows(), *ratio_rows(), *energy_rows(), laptop_row()]


def cpu_report(on_step: Progress) -> Report:
    """`bitsim reproduce cpu`."""
    rows = cpu_rows()
    on_step(1, 1)
    title = "cpu: bitnet.cpp and llama.cpp on an Apple M2 Ultra, 2410.16144; b1.58 2B4T on a laptop, 2504.12285"
    return comparison_report(title, rows, {name: load_cpu(name).sha256 for name in (CPU, LAPTOP)}, draw(rows))
