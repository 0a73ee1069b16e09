"""What a reader of a serving result must know of kernels and constants."""

from typing import Any

from bitsim.hw.cpu import Cpu
from bitsim.hw.gpu import Gpu
from bitsim.serving.kernels import calibrated
from bitsim.serving.roofline import load_kernel, overhead_s


def kernel_note(gpu: Gpu, name: str) -> str:
    """Which kernel, in which format it multiplies here, and how well it is known."""
    calibration, rate = calibrated(name), gpu.rate(load_kernel(name).multiply)
    how = "" if rate.native else f", emulated by {rate.by}: {gpu.emulated[load_kernel(name).multiply].source}"
    error = (
        f"; left-out error {100 * calibration.left_out_error:.1f} %; {calibration.within_l2} of its "
        f"{len(calibration.times)} times are of matrices that fit L2"
        if calibration.times
        else ""
    )
    share = 100 * calibration.bandwidth_efficiency
    return (
        f"kernel {name}: {1e6 * overhead_s(gpu, name):.1f} us per call, {share:.0f} % of the bandwidth, "
        f"fitted on {calibration.gpu} ({calibration.evidence}: {calibration.source}){error}{how}"
    )


def assumed_constants(hardware: Gpu | Cpu, kernels: list[str]) -> list[dict[str, Any]]:
    """The constants of a GPU and its kernels, or of a CPU, that no source gives."""
    constants = {f"{hardware.name}: {path}": constant for path, constant in hardware.constants().items()}
    for name in kernels:
        constants |= {f"kernel {name}: {path}": constant for path, constant in load_kernel(name).constants().items()}
    return [
        {"constant": path, "value": constant.text(), "source": constant.source}
        for path, constant in constants.items()
        if constant.evidence == "assumed"
    ]
