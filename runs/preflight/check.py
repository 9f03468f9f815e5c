"""check(plan, inputs): apply every preflight rule to a run before it starts. Pure: no requests, no side effects."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, get_args

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.preflight.findings import PreflightFinding, PreflightReport
from ml_intern.runs.preflight.inputs import PreflightInputs
from ml_intern.runs.preflight.rules_cost import one_first, output, smoke, time_limit
from ml_intern.runs.preflight.rules_files import imports, local_path, script
from ml_intern.runs.preflight.rules_hardware import memory, precision
from ml_intern.runs.preflight.rules_names import columns, secrets, substitution
from ml_intern.runs.preflight.rules_target import cuda, disk, internet, partition

Rule = Callable[[RunPlan, PreflightInputs], Iterator[PreflightFinding]]
RuleName = Literal[
    "script",
    "time_limit",
    "output",
    "columns",
    "imports",
    "precision",
    "memory",
    "local_path",
    "smoke",
    "one_first",
    "secrets",
    "substitution",
    "partition",
    "disk",
    "internet",
    "cuda",
]
RULES: Final[Mapping[RuleName, Rule]] = {
    "script": script,
    "time_limit": time_limit,
    "output": output,
    "columns": columns,
    "imports": imports,
    "precision": precision,
    "memory": memory,
    "local_path": local_path,
    "smoke": smoke,
    "one_first": one_first,
    "secrets": secrets,
    "substitution": substitution,
    "partition": partition,
    "disk": disk,
    "internet": internet,
    "cuda": cuda,
}
"""The rules, keyed by the name used in an override."""
RULE_NAMES: Final = get_args(RuleName)


def check(plan: RunPlan, inputs: PreflightInputs) -> PreflightReport:
    """Return the findings of all rules. The overrides in the plan apply."""
    found = tuple(one for rule in RULES.values() for one in rule(plan, inputs))
    return PreflightReport(found, frozenset(plan.overrides))
