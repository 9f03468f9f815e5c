"""The order that starts a run on the far side."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ml_intern.configs.settings import ComputeTarget
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.remote.tree import DeliveredFolder
from ml_intern.text.formatting import listed

MAX_NAMED = 5
SCRIPT_MODE = 0o600
GRACE_MINUTES = 2
"""How much longer than the run its Slurm job may take."""

_CONTAINERS = {
    "apptainer": 'apptainer exec --nv --bind "$root" "$image"',
    "pyxis": 'srun --ntasks=1 --container-image="$image" --container-mounts="$root:$root" --container-workdir="$PWD"',
}
_TORCH = """import importlib.util as u, os, runpy
s = u.find_spec("torch")
v = runpy.run_path(os.path.join(os.path.dirname(s.origin), "version.py")) if s and s.origin else {}
print(v.get("__version__", ""), v.get("cuda") or "")"""


@dataclass(frozen=True)
class StartOrder:
    """The fields of the order, and the text of the script by its digest if the run is one."""

    fields: dict[str, Any]
    script: Mapping[str, bytes]


def start_order(plan: RunPlan, id: str, target: ComputeTarget, tree: DeliveredFolder) -> StartOrder:
    """Return the order for a run of a delivered tree, without its secrets."""
    folder = plan.workdir.relative_to(tree.root)
    files = {one.path: (one.digest, one.mode) for one in tree.files}
    script: dict[str, bytes] = {}
    argv = list(plan.command)
    if plan.script:
        place = _script_path(plan, tree, id)
        text = plan.script.encode()
        digest = hashlib.sha256(text).hexdigest()
        files[str(place)], script[digest] = (digest, SCRIPT_MODE), text
        runner = ("uv", "run", "--script") if "# /// script" in plan.script else ("python3",)
        argv = [*runner, str(PurePosixPath(*[".."] * len(folder.parts)) / place), *plan.script_args]
    fields = {
        "id": id,
        "argv": _prepared(argv, target, "/".join([".."] * len(folder.parts)) or "."),
        "folder": str(folder),
        "files": [[path, *found] for path, found in files.items()],
        "links": tree.links,
        "wheels": target.wheels,
        "environment": {"PYTHONUNBUFFERED": "1", **plan.environment},
        "limit_s": plan.limit_s,
        "slots": 0 if target.kind == "slurm" else target.max_runs or plan.slots,
        "sbatch": _job_options(plan, target) if target.kind == "slurm" else None,
        "requeue": target.requeue,
        "note": _note(tree),
    }
    return StartOrder(fields, script)


def array_order(orders: Sequence[Mapping[str, Any]], sweep: Sequence[str], at_once: int) -> dict[str, Any]:
    """Return the order that starts runs of a sweep together, with the fields that all have in common only once."""
    common = {name: value for name, value in orders[0].items() if all(one[name] == value for one in orders)}
    runs = [{name: value for name, value in one.items() if name not in common} for one in orders]
    return {"sweep": list(sweep), "common": common, "runs": runs, "at_once": at_once}


def _script_path(plan: RunPlan, tree: DeliveredFolder, id: str) -> PurePosixPath:
    """Return the place of the script below the root: its own, or that of a text."""
    if plan.script_path is not None and plan.script_path.is_relative_to(tree.root):
        return PurePosixPath(plan.script_path.relative_to(tree.root))
    return PurePosixPath(f"{id}.py")


def torch_query(target: ComputeTarget) -> list[str]:
    """Return a command that prints the versions of torch and of its CUDA on a target, without loading torch."""
    return _prepared(["python3", "-c", _TORCH], target)


def _prepared(argv: list[str], target: ComputeTarget, root: str = ".") -> list[str]:
    """Return the command after the modules and the setup of the target, in its container.

    `root` is the path from the working folder to the delivered folder, which the container has to contain.
    """
    inner = argv
    if target.container:
        run = f'root=$(cd {root} && pwd); image=$1; shift; exec {_CONTAINERS[target.container_runtime]} "$@"'
        inner = ["bash", "-c", run, "bash", target.container, *argv]
    before = [*(f"module load {module}" for module in target.modules), *filter(None, [target.setup])]
    if not before:
        return inner
    return ["bash", "-lc", "\n".join(["set -e", *before, 'exec "$@"']), "bash", *inner]


def _job_options(plan: RunPlan, target: ComputeTarget) -> list[str]:
    minutes = math.ceil(plan.limit_s / 60) + GRACE_MINUTES
    return _sbatch(minutes, plan.nodes, plan.gpus or target.gpus, target)  # a pool's plan is without GPUs


def trial_options(target: ComputeTarget) -> list[str]:
    """Return the options by which Slurm is asked whether it would accept a short job; none for other targets."""
    return _sbatch(GRACE_MINUTES, 1, target.gpus, target) if target.kind == "slurm" else []


def _sbatch(minutes: int, nodes: int, gpus: str, target: ComputeTarget) -> list[str]:
    named = {
        "time": str(minutes),
        "nodes": str(nodes),
        "partition": target.partition,
        "account": target.account,
        "qos": target.qos,
        "gres": f"gpu:{gpus}" if gpus else "",
    }
    return [*(f"--{name}={value}" for name, value in named.items() if value), *target.sbatch]


def _note(tree: DeliveredFolder) -> str:
    if not tree.secrets:
        return ""
    return f"ml-intern: not delivered, because they usually contain secrets: {listed(tree.secrets, MAX_NAMED)}\n"
