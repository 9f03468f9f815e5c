"""The improve tool: starts a search for a better value of a metric, which outlives the turn."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import Field

from ml_intern.configs.env import is_users_thread
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ExternalEffects, ToolArgs, ToolContext, tool
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import SEARCH
from ml_intern.runs.launch import start_run
from ml_intern.runs.plan import limit_seconds
from ml_intern.runs.summary import started_text

_FLAGS: Final[Mapping[str, str]] = {
    "effort": "--effort",
    "settings_file": "--config",
    "verify": "--verify",
    "max_iterations": "--max-iterations",
    "patience": "--patience",
}
"""The options of a thread that its searches have, too."""


class ImproveArgs(ToolArgs):
    """The arguments of improve."""

    task: str = Field(min_length=1, max_length=2_000, description="What to try, in a sentence.")
    metric: str = Field(
        pattern=r"^(max|min) [A-Za-z_][\w.@/+-]*$", description='"max NAME" or "min NAME", as the evaluator prints it.'
    )
    evaluator: str = Field(
        min_length=1, description="The command that prints the metric. {seed} in it becomes the seed of the evaluation."
    )
    budget_usd: float = Field(gt=0, description="The highest price of the whole search, in US dollars.")
    timeout: str = Field("8h", description="Time limit such as 45m or 8h.")
    parallel: int = Field(1, ge=1, le=64, description="Attempts at the same time.")
    attempts: int = Field(100, ge=1, le=10_000, description="Attempts at most.")
    policy: Literal["greedy", "tree", "population"] = Field("greedy", description="How parents are chosen.")
    holdout: str = Field("", description="Test data that attempts cannot read; the winner is scored on it once.")
    locks: list[str] = Field(
        default_factory=list, max_length=20, description="Further files that attempts must not change, as patterns."
    )


def _check(args: ImproveArgs, _context: ToolContext) -> None:
    if is_users_thread():
        raise ToolError("searches belong to the operator of this server; try the ideas one by one")
    limit_seconds(args.timeout)


async def _effects(args: Mapping[str, Any], _context: ToolContext) -> ExternalEffects:
    """Return the price of a search: its budget, which it never exceeds."""
    return ExternalEffects(cost_usd=float(args["budget_usd"]))


@tool(timeout=None, path_args=("holdout",), on_resume="reattach", effects=_effects, check=_check)
async def improve(args: ImproveArgs, context: ToolContext) -> ToolResult:
    """Propose a search for a better value of a metric, for hours if needed. The user approves it once, with its price.

    Many attempts, each an agent in a git worktree of its own, make one change each. The evaluator scores them in a
    fresh sandbox, and a change is accepted only if it is better beyond the noise. The evaluator and its data are
    locked. Use it when the user wants the best value, not one fix. First write the evaluator and run it once: it
    prints the metric, and its seed is an argument. The search outlives the turn: you are resumed when it ends, with
    the winner. The user's branch is never touched: the user applies the winner with `ml-intern improve apply`. Follow
    it with jobs: list, logs, wait and cancel work with its id.
    """
    await _refuse_in_attempt(context)
    words = [*_words(args), *await _session_words(context), "--", args.task]
    plan = RunPlan(
        backend=SEARCH.name,
        display=shlex.join(["ml-intern", "improve", *words]),
        workdir=context.workspace,
        command=tuple(words),
        name="search",
        limit_s=limit_seconds(args.timeout),
        price_usd=args.budget_usd,
    )
    return started_text(await start_run(plan, context, only_scripts=True))


async def _refuse_in_attempt(context: ToolContext) -> None:
    """Raise ToolError in the thread of an attempt, which would start a search of its own."""
    row = await context.store.threads.get(context.root_id)
    if row is not None and row.parent in {one.id for one in await context.store.searches.list()}:
        raise ToolError("an attempt of a search cannot start another search; make the change yourself")


def _words(args: ImproveArgs) -> Sequence[str]:
    return [
        f"--metric={args.metric}",
        f"--eval={args.evaluator}",
        f"--budget={args.budget_usd}",
        f"--timeout={round(limit_seconds(args.timeout))}s",
        f"--parallel={args.parallel}",
        f"--attempts={args.attempts}",
        f"--policy={args.policy}",
        *([f"--holdout={args.holdout}"] if args.holdout else []),
        *(f"--lock={pattern}" for pattern in args.locks),
    ]


async def _session_words(context: ToolContext) -> Sequence[str]:
    """Return the model and the options of the thread as words of a command line."""
    saved = await context.store.threads.options(context.root_id)
    words = [f"--model={context.options.model}"]
    words += [f"{flag}={saved[name]}" for name, flag in _FLAGS.items() if saved.get(name) is not None]
    endpoint = saved.get("endpoint") or {}
    words += [f"--base-url={endpoint['base_url']}"] if endpoint.get("base_url") else []
    words += [f"--api-key-env={endpoint['key']}"] if endpoint.get("key") else []
    words += [f"--add-dir={folder}" for folder in saved.get("add_dirs", ())]
    words += [f"--lock={pattern}" for pattern in saved.get("locks", ())]
    words += [f"--set={text}" for text in saved.get("assignments", ())]
    return [*words, *(["--strict-budget"] if saved.get("strict_budget") else [])]
