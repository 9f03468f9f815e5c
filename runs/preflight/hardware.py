"""Hardware specifications by name, and model sizes. Memory is in GB, speed in half-precision TFLOP/s."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.remote.measured import Gpu, MeasuredTarget


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
BF16_CAPABILITY: Final = 8.0
FP8_CAPABILITY: Final = 8.9
"""The compute capabilities from which GPUs of Nvidia support these formats."""
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


def machine_for(plan: RunPlan, target: MeasuredTarget | None) -> Machine | None:
    """Return the machine of a run: that of its target as measured, else that of its hardware; None when unknown."""
    if not plan.target:
        return machine_of(plan.hardware)
    if target is None:
        return None
    if target.partition is not None or plan.gpus:
        return _of_gres(plan, target.partition.gres if target.partition else "")
    if not target.gpus:
        return Machine(plan.target)
    return Machine(plan.target, _accelerator(target.gpus[0]), len(target.gpus))


def _of_gres(plan: RunPlan, gres: str) -> Machine | None:
    """Return the GPUs of a Slurm job, of the kind it asks for or its partition has; None when unknown."""
    offered = gres.partition("(")[0].split(":")
    if not plan.gpus:
        return Machine(plan.target) if offered[0] == "gpu" else None
    kind, _, count = plan.gpus.rpartition(":")
    found = _kind_in(kind or (offered[1] if len(offered) > 2 else ""))
    return Machine(plan.target, ACCELERATORS[found], int(count)) if found and count.isdigit() else None


def _accelerator(gpu: Gpu) -> Accelerator:
    """Return the data of a GPU from its measured memory and compute capability."""
    known = _kind_in(gpu.name)
    memory = round(gpu.memory_mb / 1000) or (ACCELERATORS[known].memory_gb if known else 0)
    speed = ACCELERATORS[known].tflops if known else math.inf
    if not gpu.capability and known:
        return replace(ACCELERATORS[known], memory_gb=memory)
    capability = gpu.capability or math.inf
    return Accelerator(memory, bf16=capability >= BF16_CAPABILITY, tflops=speed, fp8=capability >= FP8_CAPABILITY)


def _kind_in(name: str) -> str:
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((kind for kind in _NAMES if kind in words or kind in "-".join(words)), "")


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
