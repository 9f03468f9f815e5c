"""The measurements of a target by `ml-intern compute test`, saved with their date for the checks before a run."""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ml_intern.configs.paths import private_folder, replace_file
from ml_intern.configs.settings import ComputeTarget

FOLDER = "compute"
_LIMIT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


@dataclass(frozen=True)
class Gpu:
    """A GPU: name, memory in MB, and compute capability (0.0 when unknown)."""

    name: str
    memory_mb: int = 0
    capability: float = 0.0


@dataclass(frozen=True)
class Partition:
    """A partition of Slurm: time limit in seconds (None: unlimited or unknown), and GPUs, such as gpu:a100:4."""

    limit_s: float | None = None
    gres: str = ""


@dataclass(frozen=True)
class MeasuredTarget:
    """The resources of a target. None and "" mean unknown. Sizes in bytes, times in seconds since the epoch."""

    time: float
    free: int | None = None
    gpus: tuple[Gpu, ...] = ()
    internet: bool | None = None
    """Whether the Hub can be reached from there. For Slurm: from the login host."""
    driver_cuda: str = ""
    """The latest CUDA version that the driver supports."""
    torch: str | None = None
    """The version of torch that python3 finds after the setup; "" when it finds none."""
    torch_cuda: str = ""
    partition: Partition | None = None
    """The partition that runs use."""


def measured_of(probe: Mapping[str, Any], target: ComputeTarget) -> MeasuredTarget:
    """Return what a probe found."""
    partitions = {name: Partition(_seconds(limit), gres) for name, limit, gres in probe.get("partitions", [])}
    default = next((name for name in partitions if name.endswith("*")), "")
    return MeasuredTarget(
        time.time(),
        probe["free"],
        tuple(Gpu(name, int(_number(memory)), _number(capability)) for name, memory, capability in probe["gpus"]),
        probe.get("internet"),
        probe.get("driver_cuda", ""),
        probe.get("torch"),
        probe.get("torch_cuda", ""),
        partitions.get(target.partition or default) or partitions.get(f"{target.partition}*"),
    )


def save_measured(home: Path, target: ComputeTarget, found: MeasuredTarget) -> None:
    """Save what was measured on a target with these settings."""
    path = _path(home, target)
    private_folder(path.parent)
    replace_file(path, json.dumps(asdict(found)))


def read_measured(home: Path, target: ComputeTarget) -> MeasuredTarget | None:
    """Return what was measured last; None when nothing was, or the settings of the target changed since."""
    try:
        known = json.loads(_path(home, target).read_text("utf-8"))
    except FileNotFoundError:
        return None
    known = {one.name: known[one.name] for one in fields(MeasuredTarget) if one.name in known}
    known["gpus"] = tuple(Gpu(**one) for one in known["gpus"])
    known["partition"] = Partition(**known["partition"]) if known["partition"] else None
    return MeasuredTarget(**known)


def _path(home: Path, target: ComputeTarget) -> Path:
    digest = hashlib.sha256(target.model_dump_json().encode()).hexdigest()
    return home / FOLDER / f"{digest[:32]}.json"


def _number(text: str) -> float:
    """Convert a number of nvidia-smi; 0 for [N/A]."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _seconds(limit: str) -> float | None:
    """Convert a time limit of Slurm, D-HH:MM:SS; None for infinite."""
    found = _LIMIT.fullmatch(limit)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds
