"""The table of all kinds of descriptions: what `bitsim list` and `bitsim show` know, and any file is loaded by."""

from pathlib import Path
from typing import Any

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw.chip import CHIP
from bitsim.hw.complaints import suggestion
from bitsim.hw.cpu import CPU
from bitsim.hw.dram import DRAM
from bitsim.hw.gpu import GPU, GPU_KERNEL
from bitsim.hw.library import FromFile, Kind, read_source
from bitsim.hw.link import LINK
from bitsim.hw.source import is_path
from bitsim.hw.sram import SRAM
from bitsim.hw.technology import TECHNOLOGY
from bitsim.hw.tensor_core import TENSOR_CORE
from bitsim.model.zoo import SHAPE

KINDS: tuple[Kind[Any], ...] = (CHIP, GPU, CPU, LINK, TECHNOLOGY, SRAM, DRAM, TENSOR_CORE, GPU_KERNEL, SHAPE)


def load_described(given: str | Path) -> FromFile:
    """What a name stands for, or what a file says that it is. Raises `UnknownNameError` or `ConfigError`."""
    described: FromFile = _kind_of(given).load(given)
    return described


def _kind_of(given: str | Path) -> Kind[Any]:
    if str(given).endswith(".json"):
        raise ConfigError(f"{given}: expected a name or a YAML file (bitsim inspect shows a config.json)")
    if not is_path(given):
        for kind in KINDS:
            if kind.library.has(str(given)):
                return kind
        titles = [kind.title for kind in KINDS]
        known = [name for kind in KINDS for name in kind.names()]
        raise UnknownNameError(f"{', '.join(titles[:-1])} or {titles[-1]}", str(given), known)
    source, names = read_source(given), [kind.name for kind in KINDS]
    said = source.data.get("kind")
    for kind in KINDS:
        if kind.name == said:
            return kind
    where = source.where(("kind",))
    if "kind" not in source.data:
        raise ConfigError(f"{where}: required key is missing; write `kind: ` and one of {', '.join(names)}")
    raise ConfigError(f"{where}: unknown kind {said!r}; {suggestion(str(said), names)}")
