"""The experiments tool: what was tried, with numbers that were read where they came from."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from configs.errors import UsageError
from safety.redaction import admit
from store.experiments import ExperimentRow
from tools.base import ToolArgs, ToolContext, ToolFault, ToolResult, tool
from tools.compute.artifacts import agrees, in_metrics, read_number
from tools.compute.comparison import chosen, price, ranked, short, side_by_side, summary
from tools.compute.recorded import file_hash, git_commit

_MOST = 50


class Measured(ToolArgs):
    """A metric with the artifact that holds it."""

    name: str = Field(min_length=1, max_length=100, description="Name of the metric, as in eval_accuracy.")
    value: float | None = Field(None, description="The number; it must be the one that stands there. Empty: read it.")
    file: str = Field("", max_length=500, description="The file that holds it: JSON, JSON lines, CSV or text.")
    where: str = Field(
        "", max_length=300, description="Where in it: eval.scores[0].f1, a column, or the words before. Empty: name."
    )
    run: str = Field("", max_length=100, description="Or the run of jobs whose log gave it.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.file) == bool(self.run):
            raise ValueError(f"the metric {self.name} needs its source: either file or run")
        return self


class ExperimentsArgs(ToolArgs):
    """What experiments takes."""

    operation: Literal["record", "list", "compare", "best"] = Field(
        description="record takes name and metrics; compare takes ids; best takes metric."
    )
    name: str = Field("", max_length=200, description="record: what was tried, in a few words.")
    run: str = Field("", max_length=100, description="record: the run of jobs that this adds to; empty: a new entry.")
    parent: str = Field("", max_length=100, description="record: the experiment that this one changes.")
    config: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, max_length=100, description="record: settings that matter, such as learning_rate."
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="record: the seed.")
    data_revision: str = Field("", max_length=100, description="record: the commit of the dataset.")
    splits: list[str] = Field(default_factory=list, max_length=20, description="record: files of the splits, to hash.")
    metrics: list[Measured] = Field(default_factory=list, max_length=50, description="record: metrics and sources.")
    ids: list[str] = Field(default_factory=list, max_length=10, description="compare: ids, their beginnings, or names.")
    metric: str = Field("", max_length=100, description="best: the metric.")
    higher_is_better: bool | None = Field(None, description="best: where the metric's name does not say it.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.operation == "record" and not (self.name or self.run):
            raise ValueError("record needs a name, or the run it adds to")
        if self.operation == "compare" and len(self.ids) < 2:
            raise ValueError("compare needs two ids at least")
        if self.operation == "best" and not self.metric:
            raise ValueError("best needs a metric")
        return self


@tool(
    path_args=(), asks=False, on_resume="rerun", reads=lambda args: args.get("operation") in ("list", "compare", "best")
)
async def experiments(args: ExperimentsArgs, context: ToolContext) -> ToolResult:
    """Keep and compare what was tried. Runs of jobs are recorded by themselves, with their last metrics and price.

    - record: another experiment, or more about one. Each metric names its file or run; the number is read there, and
      one that differs from what stands there is refused. Report in your answer only numbers that are held so.
    - list: the experiments of this folder, the newest last.
    - compare: two or more side by side: metrics, price, the settings that differ.
    - best: all that have the metric, the best first.
    """
    if args.operation == "record":
        return ToolResult(await _recorded(args, context))
    store = context.services.store.experiments
    rows = await store.list(folder=str(context.workspace))
    try:
        if args.operation == "list":
            return ToolResult("\n".join(map(_line, rows[-_MOST:])) or "no experiments in this folder yet")
        if args.operation == "best":
            best = ranked(rows, args.metric, higher=args.higher_is_better)
            return ToolResult("\n".join(map(_line, best[:_MOST])))
        picked = [chosen(text, await store.find(text)) for text in args.ids]
    except UsageError as error:
        raise ToolFault(str(error)) from error
    return ToolResult("\n".join(" | ".join(cells) for cells in side_by_side(picked)))


def _line(row: ExperimentRow) -> str:
    parent = f", after {short(row.parent)}" if row.parent else ""
    return f"{short(row.id)}  {row.name}: {summary(row)}; {price(row)}{parent}"


async def _recorded(args: ExperimentsArgs, context: ToolContext) -> str:
    store = context.services.store.experiments
    before = await _before(args, context)
    measured = {one.name: await _measured(one, context) for one in args.metrics}
    parent = await _parent(args.parent, context) if args.parent else before.parent
    hashes = {**json.loads(before.split_hashes), **await asyncio.to_thread(_hashes, args.splits, context)}
    row = replace(
        before,
        parent=parent,
        name=args.name or before.name,
        config=_merged(before.config, args.config),
        seed=before.seed if args.seed is None else args.seed,
        data_revision=args.data_revision or before.data_revision,
        split_hashes=json.dumps(hashes),
        metrics=_merged(before.metrics, measured),
    )
    await store.put(row)
    return f"recorded {_line(row)}"


def _merged(before: str, more: dict[str, Any]) -> str:
    return admit(json.dumps({**json.loads(before), **more}, ensure_ascii=False))


async def _before(args: ExperimentsArgs, context: ToolContext) -> ExperimentRow:
    """The experiment that is added to: the run's, or a new one whose id is the same when the call is made again."""
    store = context.services.store.experiments
    if args.run:
        found = [row for row in await store.find(args.run) if row.run_id]
        if len(found) != 1:
            raise ToolFault(f"there is no experiment of a run {args.run!r}; jobs, operation list, shows the runs")
        return found[0]
    id = hashlib.sha256(context.mark.encode()).hexdigest()[:12]
    commit = await asyncio.to_thread(git_commit, context.workspace)
    folder = str(context.workspace)
    return ExperimentRow(id, context.thread_id, context.root_id, folder, git_commit=commit, cost_usd=0.0)


async def _parent(text: str, context: ToolContext) -> str:
    try:
        return chosen(text, await context.services.store.experiments.find(text)).id
    except UsageError as error:
        raise ToolFault(str(error)) from error


async def _measured(one: Measured, context: ToolContext) -> dict[str, Any]:
    """The number as it stands in its source, and that source. Raises ToolFault when another one was given."""
    where = one.where or one.name
    if one.run:
        run = await context.services.store.runs.get(one.run)
        if run is None:
            raise ToolFault(f"there is no run {one.run!r}; jobs, operation list, shows the runs")
        held, source = in_metrics(run.metrics, where, one.run), f"{where} in the log of run {one.run}"
    else:
        path = context.resolve(one.file, reading=True)
        held = await asyncio.to_thread(read_number, path, where)
        source = f"{where} in {context.name_of(path)}"
    if one.value is not None and not agrees(one.value, held):
        raise ToolFault(f"{one.name} is not {one.value}: {source} is {held}. Nothing was recorded")
    return {"value": held, "source": source}


def _hashes(names: Sequence[str], context: ToolContext) -> dict[str, str]:
    found = {name: file_hash(context.resolve(name, reading=True)) for name in names}
    if missing := [name for name, digest in found.items() if not digest]:
        raise ToolFault(f"no file to hash, or too large: {', '.join(missing)}")
    return found
