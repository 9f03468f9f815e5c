"""Rules about the user's own machines, from what `ml-intern compute test` measured there."""

import time
from collections.abc import Iterator
from typing import Final

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.preflight.findings import PreflightFinding
from ml_intern.runs.preflight.hardware import parameters_of
from ml_intern.runs.preflight.inputs import PreflightInputs
from ml_intern.runs.preflight.program import Program
from ml_intern.runs.remote.order import GRACE_MINUTES
from ml_intern.text.formatting import duration

BYTES_PER_PARAMETER: Final = 2
"""The size of a downloaded model."""
MIN_FREE: Final = 1 << 30
OLD_SECONDS: Final = 30 * 24 * 3600.0
_OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_GB: Final = 1e9


def partition(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a time limit over that of the partition, with which Slurm lets a job wait forever."""
    found = inputs.target.partition if inputs.target else None
    if found is not None and found.limit_s is not None and plan.limit_s + GRACE_MINUTES * 60 > found.limit_s:
        longest = found.limit_s - GRACE_MINUTES * 60
        what = f"the time limit of {duration(plan.limit_s)} exceeds that of the partition, {duration(found.limit_s)}"
        yield PreflightFinding("partition", what, f"set a timeout of at most {duration(longest)}{_date(inputs)}")


def disk(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a run whose models do not fit on the target's disk."""
    if inputs.target is None or inputs.target.free is None:
        return
    models = inputs.program.models if inputs.program else ()
    needed = sum(parameters_of(model, inputs.parameters) or 0.0 for model in models) * BYTES_PER_PARAMETER
    if inputs.target.free < max(needed, MIN_FREE):
        what = f"{plan.target} has {inputs.target.free / _GB:.1f} GB free"
        what += f", and the models take at least {needed / _GB:.0f} GB" if needed > MIN_FREE else ""
        yield PreflightFinding("disk", what, f"free disk space there, or set another workdir{_date(inputs)}")


def internet(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse downloads on a target that does not reach the Hub."""
    program = inputs.program
    if program is None or inputs.target is None or inputs.target.internet is not False:
        return
    if any(plan.environment.get(name) == "1" for name in _OFFLINE):
        return
    wanted = [name for name in (*program.models, *program.datasets) if name.count("/") == 1]
    wanted = [name for name in wanted if name not in inputs.local_paths]
    if wanted:
        what = f"{plan.target} does not reach the Hub, and the script loads {wanted[0]}"
        remedy = "copy it there and name its path, or set HF_HUB_OFFLINE=1 if its cache has it"
        yield PreflightFinding("internet", what, f"{remedy}{_date(inputs)}")


def cuda(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a script for torch on a target without torch, or with a torch that the driver does not support."""
    program, target = inputs.program, inputs.target
    if program is None or target is None or not _uses_torch_there(plan, program):
        return
    if target.torch == "":
        remedy = "install it there and name its environment in `setup`, or give the script a PEP 723 header with torch"
        yield PreflightFinding("cuda", f"python3 on {plan.target} has no torch", f"{remedy}{_date(inputs)}")
    elif _major(target.torch_cuda) > _major(target.driver_cuda) > 0:
        what = f"torch {target.torch} needs CUDA {target.torch_cuda}, but the driver supports {target.driver_cuda}"
        yield PreflightFinding(
            "cuda", what, f"install a torch for an earlier CUDA, or update the driver{_date(inputs)}"
        )


def _uses_torch_there(plan: RunPlan, program: Program) -> bool:
    """Whether the script imports torch from the python3 of the target, not from an environment of its own."""
    return bool(plan.script) and program.dependencies is None and "torch" in program.imports


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else 0


def _date(inputs: PreflightInputs) -> str:
    """Return when the target was measured, and that it should be measured again if that is long ago."""
    if inputs.target is None:
        return ""
    day = time.strftime("%Y-%m-%d", time.localtime(inputs.target.time))
    again = "; measure it again with `compute test`" if time.time() - inputs.target.time > OLD_SECONDS else ""
    return f" (measured on {day}{again})"
