"""Sweeps by Optuna: each run asks a study on its machine for its values, see runs/optuna_trial.py."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ml_intern import runs
from ml_intern.configs.settings import ComputeTarget
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.comparison import higher_is_better
from ml_intern.runs.launch import run_id
from ml_intern.tools.compute.sweep import Choices, ValueRange

KINDS: Final = ("local", "ssh", "slurm")
"""Backends whose runs share files, which the study needs."""
FIRST: Final = 5
"""Runs with random values before Optuna chooses, if the sweep has enough."""


def optuna_plans(
    plan: RunPlan, parameters: Mapping[str, Choices], samples: int, seed: int, metric: str, context: ToolContext
) -> list[RunPlan]:
    """Return the plans of a sweep from the plan of one run with {NAME} for each parameter. Raises ToolError."""
    if plan.backend not in KINDS:
        raise ToolError(
            f"method optuna needs runs that share files: use ssh, slurm or this machine, not {plan.backend}"
        )
    if not samples or not metric:
        raise ToolError("method optuna requires samples, the number of runs, and metric, which the runs print")
    higher = higher_is_better(metric)
    if higher is None:
        raise ToolError(f"unknown whether higher or lower {metric} is better; print it under a name such as eval_loss")
    if not plan.command and plan.script_path is None:
        raise ToolError("method optuna requires a script in a file; write it first")
    order = {
        "study": _study(plan, context),
        "metric": metric,
        "higher": higher,
        "parameters": {
            name: one.model_dump() if isinstance(one, ValueRange) else one for name, one in parameters.items()
        },
        "quote": bool(plan.command),
        "first": min(FIRST, max(samples // 3, 1)),
    }
    python = sys.executable if plan.backend == "local" and find_spec("optuna") else "python3"
    program = (Path(runs.__file__).parent / "optuna_trial.py").read_text("utf-8")
    found = []
    for number in range(samples):
        words = (python, "-c", program, json.dumps({**order, "seed": seed + number}), *_command(plan))
        name = f"{plan.name} trial {number}".strip()
        found.append(replace(plan, command=words, script="", script_path=None, script_args=(), name=name))
    return found


def _study(plan: RunPlan, context: ToolContext) -> str:
    """Return the file of the study on the machine of its runs."""
    name = f"{run_id(context)}.optuna"
    if plan.target:
        return f"{ComputeTarget.model_validate(context.options.compute[plan.target]).workdir}/studies/{name}"
    return str(context.workspace / "outputs" / name)


def _command(plan: RunPlan) -> tuple[str, ...]:
    if plan.script_path is None:
        return plan.command
    runner = ("uv", "run", "--script") if "# /// script" in plan.script else ("python3",)
    return (*runner, os.path.relpath(plan.script_path, plan.workdir), *plan.script_args)
