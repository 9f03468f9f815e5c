"""The options of a run as the settings have them; what the command line adds is put over it."""

from dataclasses import replace
from pathlib import Path

from configs.advice import advice_of
from configs.settings import Settings
from graph.context import RunOptions
from safety.redaction import admit

ASKING_BUDGET_USD = 5.0
"""Where a run with a person at hand asks first whether to go on; the question comes again at twice the sum."""

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
        max_budget_usd=ASKING_BUDGET_USD,
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
        advice=admit(advice_of(workspace)),
    )


def with_cpu_jobs(options: RunOptions, settings: Settings) -> RunOptions:
    """The options of a run; where a person is asked, jobs on CPU hardware are not when the settings say so."""
    if settings.confirm_cpu_jobs or options.approval_mode != "ask":
        return options
    permissions = options.permissions
    return replace(options, permissions={**permissions, "allow": [*permissions.get("allow", ()), CPU_JOBS]})
