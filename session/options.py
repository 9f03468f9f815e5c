"""The options of a run as the settings have them; what the command line adds is put over it."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ml_intern.configs.advice import advice_of
from ml_intern.configs.errors import ConfigurationError, SandboxMissing
from ml_intern.configs.settings import SandboxSettings, Settings
from ml_intern.execution.process.programs import keep_out_of_path
from ml_intern.graph.context import RunOptions, Sandbox
from ml_intern.graph.limits import INTERACTIVE_BUDGET_USD
from ml_intern.safety.secrets.redaction import redact
from ml_intern.sandbox.bubblewrap import sandbox_problem
from ml_intern.sandbox.profile import check_folder

CPU_JOBS = {
    "tool": "jobs",
    "args": {"operation": "^run$", "backend": "^hub$", "hardware": "^cpu-"},
    "why": "confirm_cpu_jobs is off",
}
"""The rule that a user who turns confirm_cpu_jobs off has in mind."""


def from_settings(settings: Settings, workspace: Path) -> RunOptions:
    """What the settings say of a run in this folder, with a person at hand."""
    return RunOptions(
        model=settings.model_name,
        workspace=str(workspace),
        approval_mode="yolo" if settings.yolo_mode else "ask",
        max_iterations=settings.max_iterations,
        max_budget_usd=INTERACTIVE_BUDGET_USD,
        effort=settings.reasoning_effort,
        compact_model=settings.compact_model,
        research_model=settings.research_model,
        fallback_model=settings.fallback_model,
        model_params=settings.model_params,
        permissions=settings.permissions.model_dump(mode="json"),
        sandbox_hosts=settings.sandbox.hosts,
        tool_runtime=settings.tool_runtime,
        hosts=settings.hosts,
        private_hosts=settings.web.private_hosts,
        advice=redact(advice_of(workspace)),
    )


def with_cpu_jobs(options: RunOptions, settings: Settings) -> RunOptions:
    """The options of a run; where a person is asked, jobs on CPU hardware are not when the settings say so."""
    if settings.confirm_cpu_jobs or options.approval_mode != "ask":
        return options
    permissions = options.permissions
    return replace(options, permissions={**permissions, "allow": [*permissions.get("allow", ()), CPU_JOBS]})


def choose_sandbox(settings: SandboxSettings, folders: Sequence[str]) -> tuple[Sandbox, str]:
    """The wall of a run over these folders; and a note when there is none although one was not declined.

    From here on no program of these folders is started outside of it, unless they are more than a project.

    Raises:
        SandboxMissing: asked for, and not to be had.
    """
    unfit = _unfit(folders)
    if unfit is None:
        keep_out_of_path(folders)
    wanted = settings.enabled
    if wanted is False:
        return "none", ""
    problem = sandbox_problem() or unfit
    if problem is None:
        return settings.network, ""
    if wanted:
        raise SandboxMissing(*problem)
    return "none", f"commands run without the OS sandbox: {problem[0]} ({problem[1]})"


def _unfit(folders: Sequence[str]) -> tuple[str, str] | None:
    try:
        for folder in folders:
            check_folder(folder, os.path.realpath(Path.home()))
    except ConfigurationError as error:
        return error.message, error.remedy
    return None
