"""The options of a run: what the settings say, with what the request names over it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.advice import advice_of
from ml_intern.configs.errors import ConfigurationError, SandboxMissing, UsageError
from ml_intern.configs.layers import Loaded, load
from ml_intern.configs.settings import SandboxSettings, Settings
from ml_intern.execution.process.programs import keep_out_of_path
from ml_intern.graph.context import ApprovalMode, RunOptions, Sandbox
from ml_intern.graph.limits import HEADLESS_BUDGET_USD, INTERACTIVE_BUDGET_USD
from ml_intern.safety.secrets.redaction import redact
from ml_intern.sandbox.bubblewrap import sandbox_problem
from ml_intern.sandbox.profile import check_folder
from ml_intern.session.opening.model import keep_model
from ml_intern.session.opening.request import SessionRequest

if TYPE_CHECKING:
    from ml_intern.store.threads import ThreadRow

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


def working_folder(request: SessionRequest, row: "ThreadRow | None" = None) -> Path:
    """The folder to work in: -C, else the thread's own while it exists, else the current one.

    Raises:
        UsageError: -C names no folder.
        ConfigurationError: the current folder is gone.
    """
    if request.folder is not None:
        folder = Path(request.folder).expanduser()
        if not folder.is_dir():
            raise UsageError(f"-C names no folder: {request.folder}")
        return folder.resolve()
    if row is not None and row.folder and Path(row.folder).is_dir():
        return Path(row.folder)
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigurationError("the working folder no longer exists", "cd to another, or give -C DIR") from error


def load_settings(request: SessionRequest, workspace: Path) -> Loaded:
    """Return the settings of a run in this folder; what the request names overrides the files."""
    return load(
        workspace,
        config_file=request.settings_file,
        assignments=request.assignments,
        options={
            "model_name": request.model,
            "max_iterations": request.max_iterations,
            "reasoning_effort": request.effort,
            "tool_runtime": request.tool_runtime,
        },
    )


def as_run_options(request: SessionRequest, loaded: Loaded, workspace: Path, *, kept: str = "") -> RunOptions:
    """Return the options of a run; `kept` is the model of the thread that is continued."""
    settings = loaded.settings
    model, note = keep_model(kept, loaded, request)
    by_settings = from_settings(settings, workspace)
    default_mode: ApprovalMode = "yolo" if settings.yolo_mode else "auto" if request.headless else "ask"
    default_budget = HEADLESS_BUDGET_USD if request.headless else by_settings.max_budget_usd
    folders = run_folders(request)
    sandbox, unwalled = run_sandbox(request, loaded, [str(workspace), *folders])
    chosen = replace(
        by_settings,
        model=model,
        add_dirs=folders,
        sandbox=sandbox,
        approval_mode=request.approval_mode or default_mode,
        headless=request.headless,
        stream=request.stream,
        max_budget_usd=default_budget if request.max_budget_usd is None else _budget(request.max_budget_usd),
        notes=(*loaded.notes, *filter(None, [note, unwalled]), *_oddities(by_settings.permissions)),
    )
    return with_cpu_jobs(chosen, settings)


def _oddities(permissions: Mapping[str, Any]) -> tuple[str, ...]:
    """What is odd about the rules of the settings. Raises ConfigurationError for one that is none."""
    from ml_intern.execution.policy_inputs import settings_rules

    return settings_rules(permissions).warnings if any(permissions.values()) else ()


def run_sandbox(request: SessionRequest, loaded: Loaded, folders: Sequence[str]) -> tuple[Sandbox, str]:
    """The wall around the commands of a run in these folders, and a note when there is none. Raises SandboxMissing."""
    settings = loaded.settings.sandbox
    asked = {} if request.sandbox is None else {"enabled": request.sandbox}
    return choose_sandbox(settings.model_copy(update=asked), folders)


def run_folders(request: SessionRequest) -> tuple[str, ...]:
    """The further folders of a run, resolved. UsageError when one is none."""
    return tuple(str(_added(folder)) for folder in request.add_dirs)


def _added(folder: str) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UsageError(f"--add-dir names no folder: {folder}")
    return path.resolve()


def _budget(dollars: float) -> float:
    if dollars != -1 and not dollars > 0:
        raise UsageError(f"--max-budget-usd {dollars:g} is no budget", "give US dollars, or -1 for unlimited")
    return dollars
