"""The arguments of the jobs tool, and the run plan built from them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, field_validator

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolArgs, ToolContext
from ml_intern.graph.limits import MAX_NODES
from ml_intern.runs.backends.base import BackendSpec, RunPlan
from ml_intern.runs.backends.registry import HUB, LOCAL, backend_names, backend_of, backend_spec
from ml_intern.runs.launch import run_id
from ml_intern.runs.notify import HELP, checked_conditions
from ml_intern.runs.plan import limit_seconds, planned
from ml_intern.runs.preflight.check import RuleName
from ml_intern.runs.preflight.findings import PreflightReport
from ml_intern.runs.preflight.gather import preflight
from ml_intern.tools.compute.sweep import MAX_RUNS, Choices, filled, names_in, options_of, title, variants

MAX_LINES = 500
MAX_NAME = 100
MAX_WAIT_S = 600
READING = frozenset({"list", "logs", "wait", "inspect", "hardware", "schedules"})
Operation = Literal[
    "run", "sweep", "list", "logs", "wait", "inspect", "notify", "cancel", "fetch",
    "hardware", "schedule", "schedules", "suspend_schedule", "resume_schedule", "delete_schedule",
]  # fmt: skip


class JobsArgs(ToolArgs):
    """The arguments of jobs."""

    operation: Operation = Field(description="The operation; see the tool's description.")
    backend: str = Field(
        LOCAL.name,
        json_schema_extra=lambda schema: schema.update(enum=list(backend_names())),
        description="run: on this machine, as a Hugging Face Job (hub), or in the thread's sandbox (until it ends).",
    )
    command: str = Field("", description="run: a bash command. Set either this or script.")
    script: str = Field(
        "", description="run: the path of a Python script, or its text. Dependencies go into a PEP 723 header."
    )
    args: list[str] = Field(default_factory=list, max_length=100, description="run: arguments of the script.")
    target: str = Field(
        "", max_length=40, description="run: a machine or cluster of the user's settings; sets backend."
    )
    nodes: int = Field(1, ge=1, le=MAX_NODES, description="run on Slurm: the number of nodes.")
    gpus: str = Field(
        "", max_length=40, description="run on Slurm: GPUs per node, such as 2 or a100:2; on Ray: their number."
    )
    name: str = Field("", max_length=MAX_NAME, description="run: a short name for lists.")
    timeout: str = Field("", description="run: time limit such as 45m, 6h, 2d. Default: 24h locally, 2h for a job.")
    workdir: str = Field(".", description="run locally: folder to run in, inside the workspace.")
    env: dict[str, str] = Field(default_factory=dict, description="run: additional environment variables; no secrets.")
    secrets: list[str] = Field(
        default_factory=list,
        max_length=8,
        description="run: names of the user's secret variables to pass, such as HF_TOKEN.",
    )
    hardware: str = Field("", description="run as a job: hardware, such as cpu-basic or a10g-small.")
    image: str = Field("", description="run as a job: container image.")
    namespace: str = Field("", description="run as a job: user or organisation; default: the token's owner.")
    parameters: dict[str, Choices] = Field(
        default_factory=dict,
        max_length=20,
        description="sweep: the values of each parameter: a list, or a range {low, high, log}.",
    )
    method: Literal["grid", "random", "optuna"] | None = Field(
        None,
        description="sweep: grid, random, or optuna (learns from the results, stops bad runs). Default: by samples.",
    )
    metric: str = Field("", max_length=100, description="sweep by optuna: the metric that the runs print.")
    samples: int = Field(
        0, ge=0, le=MAX_RUNS, description="sweep: number of runs by random or optuna; 0: all combinations."
    )
    seed: int = Field(0, ge=0, description="sweep: seed of the random combinations.")
    at_once: int = Field(
        0,
        ge=0,
        le=MAX_RUNS,
        description="sweep: runs at once; others wait. 0: one on a machine and by optuna, no limit on Slurm.",
    )
    when: str = Field("", max_length=100, description="schedule: @hourly, @daily, @weekly, or a cron expression.")
    schedule: str = Field("", max_length=100, description="schedules, ..._schedule: the id of a schedule.")
    override: list[RuleName] = Field(
        default_factory=list,
        description="run: checks to ignore this time; explain why before the call.",
    )
    notify_when: list[str] = Field(
        default_factory=list,
        max_length=20,
        description=f"run, notify: resume you when one of these conditions is met; {HELP}.",
    )
    run: str = Field("", description="logs, wait, inspect, notify, cancel, fetch: the id of the run.")
    outputs: list[str] = Field(
        default_factory=list,
        max_length=20,
        description="fetch: patterns of files in its folder, such as out/*.json.",
    )
    lines: int = Field(50, ge=1, le=MAX_LINES, description="logs: the number of last lines.")
    offset: int | None = Field(None, ge=0, description="logs: read from this byte offset instead.")
    seconds: int = Field(120, ge=1, le=MAX_WAIT_S, description="wait: the maximum time in seconds.")

    @field_validator("backend")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in backend_names():
            raise ValueError(f"unknown backend {name!r}; use {', '.join(backend_names())}")
        return name

    @field_validator("notify_when")
    @classmethod
    def _conditions(cls, texts: list[str]) -> list[str]:
        return checked_conditions(texts)


def is_read_only(args: Mapping[str, Any]) -> bool:
    """Return whether a call with these arguments changes nothing."""
    return args.get("operation") in READING


async def build_plans(args: JobsArgs, context: ToolContext) -> list[RunPlan]:
    """Build the plans of the requested runs: one, or those of a sweep. Raises ToolError."""
    if args.operation != "sweep":
        return [await build_plan(args, context)]
    if args.command and not backend_spec(_backend_name(args, context)).is_remote:
        raise ToolError("a sweep on this machine requires a script, whose parameters are its arguments")
    placed = names_in([args.command] if args.command else args.args, args.parameters)
    if args.command and (missing := [name for name in args.parameters if name not in placed]):
        raise ToolError(f"the command has no place for {missing[0]}; write it as {{{missing[0]}}}")
    if args.method == "optuna":
        return await _optuna_plans(args, placed, context)
    if args.method and (args.method == "random") != bool(args.samples):
        raise ToolError("method random requires samples, the number of runs; method grid has all combinations")
    plans = []
    for values in variants(args.parameters, args.samples, args.seed):
        changes = {
            "command": filled(args.command, values, quote=True),
            "args": [*(filled(one, values, quote=False) for one in args.args), *options_of(values, placed)],
            "name": " ".join(filter(None, [args.name, title(values)]))[:MAX_NAME],
        }
        plan = await build_plan(args.model_copy(update=changes), context)
        plans.append(replace(plan, slots=args.at_once or (0 if backend_spec(plan.backend).has_queue else 1)))
    return plans


async def _optuna_plans(args: JobsArgs, placed: Sequence[str], context: ToolContext) -> list[RunPlan]:
    from ml_intern.tools.compute.optuna_sweep import optuna_plans

    further = [word for name in args.parameters if name not in placed for word in (f"--{name}", f"{{{name}}}")]
    if not args.parameters or any(choices == [] for choices in args.parameters.values()):
        raise ToolError("sweep requires parameters, each with at least one value")
    plan = await build_plan(args.model_copy(update={"args": [*args.args, *further]}), context)
    plans = optuna_plans(plan, args.parameters, args.samples, args.seed, args.metric, context)
    return [replace(one, slots=args.at_once or 1) for one in plans]


async def build_plan(args: JobsArgs, context: ToolContext) -> RunPlan:
    """Build the plan of the requested run, with its price. Raises ToolError."""
    if bool(args.command) == bool(args.script):
        raise ToolError("run requires either command or script")
    backend = backend_spec(HUB.name if args.operation == "schedule" else _backend_name(args, context))
    if not backend.selects_hardware and (args.hardware or args.image or args.namespace):
        raise ToolError("hardware, image and namespace require backend hub; leave them out, or set backend to hub")
    _check_resources(args, backend)
    plan = await planned(
        context,
        backend=backend.name,
        command=args.command,
        script=args.script,
        script_args=tuple(args.args),
        workdir=args.workdir,
        name=args.name,
        environment=args.env,
        secrets=tuple(args.secrets),
        hardware=args.hardware or None,
        target=args.target,
        nodes=args.nodes,
        gpus=args.gpus,
        image=args.image or None,
        namespace=args.namespace or None,
        limit_s=limit_seconds(args.timeout) if args.timeout else backend.default_limit_s,
        notify_when=tuple(args.notify_when),
        overrides=tuple(args.override),
    )
    return await backend_of(backend.name, context.services.store).complete(plan, context)


def _check_resources(args: JobsArgs, backend: BackendSpec) -> None:
    """Raise ToolError for nodes or GPUs that the backend cannot select."""
    where = args.target or f"backend {backend.name}"
    if args.nodes > backend.max_nodes:
        raise ToolError(f"{where} uses one machine for a run: leave nodes out")
    if args.gpus and not backend.selects_gpus:
        instead = "choose hardware" if backend.selects_hardware else "select GPUs with CUDA_VISIBLE_DEVICES"
        raise ToolError(f"{where} has no queue for GPUs: leave gpus out, and {instead}")


def _backend_name(args: JobsArgs, context: ToolContext) -> str:
    """Return the backend, which a target determines. Raises ToolError."""
    targets = {name: str(target["kind"]) for name, target in context.options.compute.items()}
    known = (
        ", ".join(f"{name} ({kind})" for name, kind in targets.items()) or "none; the user adds them to the settings"
    )
    if not args.target:
        if backend_spec(args.backend).needs_target:
            raise ToolError(f"backend {args.backend} needs a target: {known}")
        return args.backend
    if args.target not in targets:
        raise ToolError(f"there is no target {args.target!r}; the targets are {known}")
    if args.backend not in (LOCAL.name, targets[args.target]):
        raise ToolError(f"the target {args.target} has the backend {targets[args.target]}, not {args.backend}")
    return targets[args.target]


async def run_preflight(args: JobsArgs, plan: RunPlan, context: ToolContext) -> PreflightReport:
    """Run the preflight checks, except for a run whose launch was interrupted by a crash."""
    if await context.services.store.runs.get(run_id(context)) is not None:  # also the first run of a sweep
        return PreflightReport()
    return await preflight(plan, context, limit_named=bool(args.timeout))
