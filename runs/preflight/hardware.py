"""Hardware specifications by name, and model sizes. Memory is in GB, speed in half-precision TFLOP/s."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Accelerator:
    """A GPU model."""

    memory_gb: int
    bf16: bool
    tflops: float
    fp8: bool = False


# From the manufacturers' data sheets; tflops are for dense tensor-core operations.
ACCELERATORS: Final[Mapping[str, Accelerator]] = {
    "t4": Accelerator(16, bf16=False, tflops=65),
    "v100": Accelerator(16, bf16=False, tflops=125),
    "p100": Accelerator(16, bf16=False, tflops=19),
    "l4": Accelerator(24, bf16=True, tflops=121, fp8=True),
    "a10g": Accelerator(24, bf16=True, tflops=125),
    "l40s": Accelerator(48, bf16=True, tflops=362, fp8=True),
    "a100": Accelerator(80, bf16=True, tflops=312),
    "rtx-pro-6000": Accelerator(96, bf16=True, tflops=500, fp8=True),
    "h100": Accelerator(80, bf16=True, tflops=990, fp8=True),
    "h200": Accelerator(141, bf16=True, tflops=990, fp8=True),
    "b200": Accelerator(180, bf16=True, tflops=2250, fp8=True),
}
_NAMES: Final = sorted(ACCELERATORS, key=len, reverse=True)
_COUNT = re.compile(r"x(\d{1,2})$")
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:(\d{1,3})x)?(\d{1,4}(?:\.\d{1,3})?)([bm])(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Machine:
    """The hardware of a run: `count` GPUs of one model. `gpu` is None on a CPU machine."""

    name: str
    gpu: Accelerator | None = None
    count: int = 0

    @property
    def memory_gb(self) -> int:
        """The total memory of its GPUs."""
        return self.gpu.memory_gb * self.count if self.gpu else 0


def machine_of(hardware: str | None) -> Machine | None:
    """Return the machine for a hardware name; None when the name is unknown."""
    name = (hardware or "").lower()
    if name.startswith("cpu"):
        return Machine(name)
    kind = next((one for one in _NAMES if name == one or name.startswith((f"{one}-", f"{one}x"))), None)
    if kind is None:
        return None
    counted = _COUNT.search(name)
    return Machine(name, ACCELERATORS[kind], int(counted[1]) if counted else 1)


def sizes_in(text: str) -> list[float]:
    """Return the model sizes named in a text, in parameters: `8B`, `1.5b`, `270M`, `8x7B`."""
    found = []
    for several, number, unit in _SIZE.findall(text.replace("_", "-")):
        found.append(int(several or 1) * float(number) * (1e9 if unit in "bB" else 1e6))
    return found


def parameters_of(model: str, known: Mapping[str, int]) -> float | None:
    """Return the number of parameters of a model: the known one, else the one in its name; None when unknown."""
    if model in known:
        return float(known[model])
    return max(sizes_in(model.rpartition("/")[2]), default=None)
