"""The options of a run: the settings, overridden by the request."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.advice import advice_of
from ml_intern.configs.errors import ConfigurationError, SandboxMissing, UsageError
from ml_intern.configs.layers import Loaded, load
from ml_intern.configs.memory.facts import as_advice
from ml_intern.configs.memory.file import read_memory
from ml_intern.configs.settings import SandboxSettings, Settings
from ml_intern.execution.process.environment import exclude_from_path
from ml_intern.execution.sandboxed import own_homes
from ml_intern.graph.context import RunOptions, Sandbox
from ml_intern.graph.limits import (
    ASKING_MODES,
    HEADLESS_BUDGET_USD,
    INTERACTIVE_BUDGET_USD,
    PATIENCE_S,
    UNATTENDED_PATIENCE_S,
    ApprovalMode,
)
from ml_intern.safety.secrets.redaction import redact
from ml_intern.safety.shell.paths import is_within
from ml_intern.sandbox.basic.available import available_sandbox
from ml_intern.sandbox.bubblewrap import Kind
from ml_intern.sandbox.profile import check_folder
from ml_intern.session.opening.goals import checked_goal
from ml_intern.session.opening.holdout import with_holdout
from ml_intern.session.opening.model import continued_model
from ml_intern.session.opening.request import SessionRequest

if TYPE_CHECKING:
    from ml_intern.store.threads import ThreadRow

CPU_JOBS = {
    "tool": "jobs",
    "args": {"operation": "^run$", "backend": "^hub$", "hardware": "^cpu-"},
    "why": "confirm_cpu_jobs is off",
}
"""The allow rule that `confirm_cpu_jobs: false` adds."""


def from_settings(settings: Settings, workspace: Path, *, trust: bool = False) -> RunOptions:
    """Return the options of an interactive run in this folder from the settings.

    With `trust` the folder counts as trusted.
    """
    return RunOptions(
        model=settings.model_name,
        workspace=str(workspace),
        approval_mode="yolo" if settings.yolo_mode else "ask",
        verify=settings.verify or "quick",
        max_iterations=settings.max_iterations,
        max_budget_usd=INTERACTIVE_BUDGET_USD,
        effort=settings.reasoning_effort,
        compact_model=settings.compact_model,
        research_model=settings.research_model,
        fallback_model=settings.fallback_model,
        prices=settings.named_prices,
        patience_s=PATIENCE_S if settings.patience_s is None else settings.patience_s,
        compute={name: target.model_dump() for name, target in settings.compute.items()},
        compact_threshold=settings.compact_threshold,
        model_params=settings.model_params,
        permissions=settings.permissions.model_dump(mode="json"),
        hooks={name: hooks for name, hooks in settings.hooks.model_dump(mode="json").items() if hooks},
        sandbox_hosts=settings.sandbox.hosts,
        tool_runtime=settings.tool_runtime,
        transport=settings.transport,
        tool_calls=settings.tool_calls,
        hub_collection=settings.hub_collection,
        hosts=settings.hosts,
        private_hosts=settings.web.private_hosts,
        advice=redact(advice_of(workspace, trust=trust)),
        memory=redact(as_advice(read_memory(workspace))),
    )


def with_cpu_jobs(options: RunOptions, settings: Settings) -> RunOptions:
    """Allow jobs on CPU hardware without approval in the modes that ask if the setting confirm_cpu_jobs is off."""
    if settings.confirm_cpu_jobs or options.approval_mode not in ASKING_MODES:
        return options
    permissions = options.permissions
    return replace(options, permissions={**permissions, "allow": [*permissions.get("allow", ()), CPU_JOBS]})


@dataclass(frozen=True)
class ChosenSandbox:
    """The sandbox of a run, and a note to the user if it is weaker than usual or missing."""

    network: Sandbox
    kind: Kind = "bubblewrap"
    note: str = ""
    missing: bool = False
    """There is none, although the user did not decline it."""

    def applied_to(self, options: RunOptions) -> RunOptions:
        """Return the options with this sandbox."""
        return replace(options, sandbox=self.network, sandbox_kind=self.kind, sandbox_missing=self.missing)


def choose_sandbox(settings: SandboxSettings, folders: Sequence[str]) -> ChosenSandbox:
    """Choose the sandbox of a run in these folders.

    Programs inside these folders are excluded from PATH, unless a folder is too broad to be a project.

    Raises:
        SandboxMissing: the sandbox is required but unavailable.
    """
    unfit = _unfit(folders)
    if unfit is None:
        exclude_from_path(folders)
    wanted = settings.enabled
    if wanted is False:
        return ChosenSandbox("none")
    available = available_sandbox(settings.kind)
    problem = unfit or available.problem or (_exposed(folders) if available.kind == "basic" else None)
    if problem is None:
        return ChosenSandbox(settings.network, available.kind, available.weakness)
    if wanted:
        raise SandboxMissing(*problem)
    return ChosenSandbox("none", note=_missing_note(*problem), missing=True)


def _exposed(folders: Sequence[str]) -> tuple[str, str] | None:
    """Return the problem if a folder contains data of ml-intern, which the basic sandbox cannot hide there."""
    roots = [os.path.realpath(folder) for folder in folders]
    homes = (os.path.realpath(home) for home in own_homes())
    found = next((home for home in homes if any(is_within(home, root) for root in roots)), None)
    if found is None:
        return None
    problem = f"the basic sandbox cannot hide ml-intern's folder {found} inside the working folder"
    return problem, "set ML_INTERN_HOME to a folder elsewhere, or install bubblewrap"


def _missing_note(problem: str, remedy: str) -> str:
    return (
        f"no sandbox: {problem} ({remedy}). In unattended mode, a command that runs code needs --no-sandbox or "
        "your approval"
    )


def _unfit(folders: Sequence[str]) -> tuple[str, str] | None:
    try:
        for folder in folders:
            check_folder(folder, os.path.realpath(Path.home()))
    except ConfigurationError as error:
        return error.message, error.remedy
    return None


def working_folder(request: SessionRequest, row: "ThreadRow | None" = None) -> Path:
    """Return the working folder: -C, else the thread's folder if it exists, else the current folder.

    Raises:
        UsageError: the folder given with -C does not exist.
        ConfigurationError: the current folder no longer exists.
    """
    if request.folder is not None:
        folder = Path(request.folder).expanduser()
        if not folder.is_dir():
            raise UsageError(f"-C: folder {request.folder} does not exist")
        return folder.resolve()
    if row is not None and row.folder and Path(row.folder).is_dir():
        return Path(row.folder)
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigurationError("the working folder no longer exists", "cd to another, or give -C DIR") from error


def load_settings(request: SessionRequest, workspace: Path) -> Loaded:
    """Return the settings of a run in this folder. The request overrides the files."""
    return load(
        workspace,
        config_file=request.settings_file,
        assignments=request.assignments,
        options={
            "model_name": request.model,
            "max_iterations": request.max_iterations,
            "reasoning_effort": request.effort,
            "tool_runtime": request.tool_runtime,
            "verify": request.verify,
            "patience": request.patience,
        },
        trust=request.trust,
    )


def as_run_options(request: SessionRequest, loaded: Loaded, workspace: Path, *, last_model: str = "") -> RunOptions:
    """Return the options of a run. `last_model` is the last model of the continued thread."""
    settings = loaded.settings
    model, note = continued_model(last_model, loaded, request)
    by_settings = from_settings(settings, workspace, trust=request.trust)
    default_mode: ApprovalMode = "yolo" if settings.yolo_mode else "auto" if request.headless else "ask"
    default_budget = HEADLESS_BUDGET_USD if request.headless else by_settings.max_budget_usd
    default_patience = UNATTENDED_PATIENCE_S if request.headless else PATIENCE_S
    folders = run_folders(request)
    sandbox = run_sandbox(request, loaded, [str(workspace), *folders])
    chosen = replace(
        by_settings,
        model=model,
        add_dirs=folders,
        approval_mode=request.approval_mode or default_mode,
        headless=request.headless,
        stream=request.stream,
        strict_budget=request.strict_budget or settings.strict_budget,
        patience_s=default_patience if settings.patience_s is None else settings.patience_s,
        verify=settings.verify or ("standard" if request.headless else "quick"),
        locks=request.locks,
        hidden=request.hidden,
        shown=request.shown,
        goal=checked_goal(request.goal or "", settings.verify or ""),
        max_budget_usd=default_budget if request.max_budget_usd is None else _budget(request.max_budget_usd),
        notes=(*loaded.notes, *filter(None, [note, sandbox.note]), *_rule_warnings(by_settings.permissions)),
    )
    return with_cpu_jobs(with_holdout(sandbox.applied_to(chosen), request.holdout or ""), settings)


def _rule_warnings(permissions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return warnings about the permission rules. Raises ConfigurationError for an invalid rule."""
    from ml_intern.execution.policy_inputs import settings_rules

    return settings_rules(permissions).warnings if any(permissions.values()) else ()


def run_sandbox(request: SessionRequest, loaded: Loaded, folders: Sequence[str]) -> ChosenSandbox:
    """Return the sandbox of a run in these folders. Raises the same errors as `choose_sandbox`."""
    settings = loaded.settings.sandbox
    asked = {} if request.sandbox is None else {"enabled": request.sandbox}
    return choose_sandbox(settings.model_copy(update=asked), folders)


def run_folders(request: SessionRequest) -> tuple[str, ...]:
    """Return the additional folders of a run, resolved. Raises UsageError if one does not exist."""
    return tuple(str(_added(folder)) for folder in request.add_dirs)


def _added(folder: str) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UsageError(f"--add-dir: folder {folder} does not exist")
    return path.resolve()


def _budget(dollars: float) -> float:
    if dollars != -1 and not dollars > 0:
        raise UsageError(
            f"--max-budget-usd {dollars:g} is not a valid budget",
            "give a positive amount in US dollars, or -1 for no limit",
        )
    return dollars
