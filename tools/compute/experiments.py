"""The experiments tool: records and compares experiments, with metrics read from their sources."""

import asyncio
import csv
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from ml_intern.configs.env import is_users_thread
from ml_intern.configs.errors import UsageError
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import source_note
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.runs.comparison import price, ranked, side_by_side, summary
from ml_intern.runs.naming import choose, short
from ml_intern.runs.poll import refresh
from ml_intern.runs.record import experiment_sources, file_hash, git_commit, record_sources
from ml_intern.safety.secrets.redaction import redact
from ml_intern.store.experiments import ExperimentRow

_MAX_ROWS = 50


class RecordedMetric(ToolArgs):
    """A metric and its source."""

    name: str = Field(min_length=1, max_length=100, description="Name of the metric, such as eval_accuracy.")
    value: float | None = Field(None, description="The number; it must match the source. Empty to read it from there.")
    file: str = Field("", max_length=500, description="The file with the number: JSON, JSON lines, CSV or text.")
    where: str = Field(
        "",
        max_length=300,
        description="Its place in the file: eval.scores[0].f1, a column, or the words before it. Empty: name.",
    )
    run: str = Field("", max_length=100, description="Or the run of jobs whose log contains it.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.file) == bool(self.run):
            raise ValueError(f"the metric {self.name} requires a source: either file or run")
        return self


class ExperimentsArgs(ToolArgs):
    """The arguments of experiments."""

    operation: Literal["record", "list", "compare", "best"] = Field(
        description="record uses name and metrics; compare uses ids; best uses metric."
    )
    name: str = Field("", max_length=200, description="record: what was tried, in a few words.")
    run: str = Field("", max_length=100, description="record: the run of jobs to extend; empty for a new entry.")
    parent: str = Field("", max_length=100, description="record: the experiment that this one is based on.")
    config: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, max_length=100, description="record: relevant settings, such as learning_rate."
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="record: the seed.")
    data_revision: str = Field("", max_length=100, description="record: the commit of the dataset.")
    splits: list[str] = Field(default_factory=list, max_length=20, description="record: the split files, to be hashed.")
    metrics: list[RecordedMetric] = Field(
        default_factory=list, max_length=50, description="record: metrics and sources."
    )
    ids: list[str] = Field(default_factory=list, max_length=10, description="compare: ids, id prefixes, or names.")
    metric: str = Field("", max_length=100, description="best: the metric.")
    higher_is_better: bool | None = Field(
        None, description="best: needed if it does not follow from the metric's name."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.operation == "record" and not (self.name or self.run):
            raise ValueError("record requires a name, or the run to extend")
        if self.operation == "compare" and len(self.ids) < 2:
            raise ValueError("compare requires at least two ids")
        if self.operation == "best" and not self.metric:
            raise ValueError("best requires a metric")
        return self


@tool(
    path_args=(), asks=False, on_resume="rerun", reads=lambda args: args.get("operation") in ("list", "compare", "best")
)
async def experiments(args: ExperimentsArgs, context: ToolContext) -> ToolResult:
    """Record and compare experiments. Runs of jobs are recorded automatically, with their last metrics and price.

    - record: add an experiment, or extend one. Each metric names its file or run; the number is read from there, and a
      different value is refused. Report only recorded numbers in your answer.
    - list: the experiments of this folder, the latest last.
    - compare: two or more side by side: metrics, price and differing settings.
    - best: all experiments with the metric, the best first.
    """
    notes = await refresh(context.services.store, context.thread_id if is_users_thread() else None)
    try:
        lines, rows = await (_record if args.operation == "record" else _read)(args, context)
    except UsageError as error:
        raise ToolError(str(error)) from error
    sources = await experiment_sources(context.store, [row.id for row in rows])
    text = "\n".join([*lines, *(f"note: {note}" for note in notes), *source_note(sources)])
    return ToolResult(text, taint=sources)


Found = tuple[list[str], Sequence[ExperimentRow]]
"""The lines of a result, and the experiments in it."""


async def _read(args: ExperimentsArgs, context: ToolContext) -> Found:
    """Return the lines of list, best and compare. Raises UsageError."""
    store = context.services.store.experiments
    if args.operation == "compare":
        every = await _known(context)
        choices = [choose(text, every, "experiment") for text in args.ids]
        chosen = [choice.row for choice in choices]
        notes = dict.fromkeys(f"note: {choice.note}" for choice in choices if choice.note)
        return [*(" | ".join(cells) for cells in side_by_side(chosen)), *notes], chosen
    rows = await store.list(folder=str(context.workspace))
    best = args.operation == "best"
    shown = ranked(rows, args.metric, higher=args.higher_is_better)[:_MAX_ROWS] if best else rows[-_MAX_ROWS:]
    none = [] if best else ["no experiments in this folder yet"]
    return [_line(row) for row in shown] or none, shown


def _line(row: ExperimentRow) -> str:
    parent = f", after {short(row.parent)}" if row.parent else ""
    return f"{short(row.id)}  {row.name}: {summary(row)}; {price(row)}{parent}"


async def _record(args: ExperimentsArgs, context: ToolContext) -> Found:
    store = context.services.store.experiments
    before = await _before(args, context)
    measured = {one.name: await _read_metric(one, context) for one in args.metrics}
    parent = await _parent(args.parent, context) if args.parent else before.parent
    hashes = {**json.loads(before.split_hashes), **await asyncio.to_thread(_hashes, args.splits, context)}
    row = replace(
        before,
        parent=parent,
        name=args.name or before.name,
        config=_merge(before.config, args.config),
        seed=before.seed if args.seed is None else args.seed,
        data_revision=args.data_revision or before.data_revision,
        split_hashes=json.dumps(hashes),
        metrics=_merge(before.metrics, measured),
    )
    await record_sources(row.id, context)
    await store.put(row)
    return [f"recorded {_line(row)}"], [row]


def _merge(before: str, more: dict[str, Any]) -> str:
    return redact(json.dumps({**json.loads(before), **more}, ensure_ascii=False))


async def _before(args: ExperimentsArgs, context: ToolContext) -> ExperimentRow:
    """Return the experiment to extend: the run's, or a new one whose id stays the same when the call is repeated."""
    store = context.services.store.experiments
    if args.run:
        found = [row for row in await store.find(args.run) if row.run_id and _is_visible(row.folder, context)]
        if len(found) != 1:
            raise ToolError(f"there is no experiment for the run {args.run!r}; list the runs with jobs, operation list")
        return found[0]
    id = hashlib.sha256(context.mark.encode()).hexdigest()[:12]
    commit = await asyncio.to_thread(git_commit, context.workspace)
    folder = str(context.workspace)
    return ExperimentRow(id, context.thread_id, context.root_id, folder, git_commit=commit, cost_usd=0.0)


async def _known(context: ToolContext) -> Sequence[ExperimentRow]:
    """Return the experiments of all folders, or of this one where the others may be of other users."""
    store = context.services.store.experiments
    return await (store.list(folder=str(context.workspace)) if is_users_thread() else store.list())


def _is_visible(folder: str, context: ToolContext) -> bool:
    return not is_users_thread() or folder == str(context.workspace)


async def _parent(text: str, context: ToolContext) -> str:
    every = await _known(context)
    return choose(text, every, "experiment", latest=False).row.id


async def _read_metric(one: RecordedMetric, context: ToolContext) -> dict[str, Any]:
    """Read the number from its source, and return both. Raises ToolError when a different value was given."""
    where = one.where or one.name
    if one.run:
        run = await context.services.store.runs.get(one.run)
        if run is None or not _is_visible(run.folder, context):
            raise ToolError(f"there is no run {one.run!r}; list the runs with jobs, operation list")
        actual, source = read_run_metric(run.metrics, where, one.run), f"{where} in the log of run {one.run}"
    else:
        path = context.resolve(one.file, reading=True)
        actual = await asyncio.to_thread(read_number, path, where)
        source = f"{where} in {context.name_of(path)}"
    if one.value is not None and not matches_rounded(one.value, actual):
        raise ToolError(f"{one.name} is not {one.value}: {source} is {actual}. Nothing was recorded; correct the value")
    return {"value": actual, "source": source}


def _hashes(names: Sequence[str], context: ToolContext) -> dict[str, str]:
    found = {name: file_hash(context.resolve(name, reading=True)) for name in names}
    if missing := [name for name, digest in found.items() if not digest]:
        raise ToolError(f"files missing or too large to hash: {', '.join(missing)}")
    return found


MAX_BYTES: Final = 64 * 1024 * 1024
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")
_NUMBER: Final = r"[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_MAX_NAMES: Final = 30
_ROUNDED_TO_WHOLE: Final = 10
"""Numbers from here on may be rounded to integers; smaller ones may not, because 1 is not 0.97."""


def read_number(path: Path, where: str) -> float:
    """Read a number from a file.

    `where` is a dotted path in JSON (`eval.scores[0].f1`), a key in the last JSON line that has it, a column in the
    last CSV row, or in other texts the words before the number, at their last occurrence.

    Raises:
        ToolError: the file or place does not exist, or does not contain a finite number.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ToolError(f"{path.name} is too large to read a number from; write the metrics to a JSON file")
        text = path.read_text(errors="replace")
    except OSError as error:
        raise ToolError(f"cannot read {path.name}: {error.strerror or error}") from error
    kinds = {".json": _in_json, ".jsonl": _in_lines, ".ndjson": _in_lines, ".csv": _in_table, ".tsv": _in_table}
    found = kinds.get(path.suffix.lower(), _in_text)(text, where, path.name)
    number = as_number(found)
    if number is None:
        raise ToolError(f"{where} in {path.name} is {str(found)[:80]!r}, which is not a finite number")
    return number


def as_number(value: Any) -> float | None:
    """Return a finite number, or None. Text that is a number counts; true and false do not."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value.replace(",", "") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _in_json(text: str, where: str, name: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ToolError(f"{name} is not valid JSON: {error}") from error
    return _resolve(value, where, name)


def _resolve(value: Any, where: str, name: str) -> Any:
    if isinstance(value, dict) and where in value:
        return value[where]
    for key, place in _STEP.findall(where):
        try:
            value = value[int(place)] if place else value[key]
        except (KeyError, IndexError, TypeError) as error:
            available = ", ".join(map(str, value))[:300] if isinstance(value, dict) else type(value).__name__
            raise ToolError(f"{name} has no {where!r}; at {key or place} it has: {available}") from error
    return value


def _in_lines(text: str, where: str, name: str) -> Any:
    for line in reversed(text.splitlines()):
        try:
            return _resolve(json.loads(line), where, name)
        except (ValueError, ToolError):
            continue
    raise ToolError(f"no line of {name} has {where!r}")


def _in_table(text: str, where: str, name: str) -> Any:
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t" if name.lower().endswith(".tsv") else ","))
    if not rows or where not in rows[-1]:
        raise ToolError(f"{name} has no column {where!r}; it has {', '.join(map(str, rows[-1] if rows else ()))[:300]}")
    return rows[-1][where]


def _in_text(text: str, where: str, name: str) -> Any:
    found = re.findall(rf"{re.escape(where)}['\"]?\s*[:=]?\s*({_NUMBER})", text)
    if not where or not found:
        raise ToolError(f"no number follows {where!r} in {name}")
    return found[-1]


def read_run_metric(metrics: str, name: str, run: str) -> float:
    """Return a metric from a run's row. Raises ToolError that lists the existing metrics."""
    available = json.loads(metrics)
    number = as_number(available.get(name))
    if number is None:
        names = ", ".join(list(available)[:_MAX_NAMES]) or "none"
        raise ToolError(f"the log of run {run} has no metric {name!r}; it has {names}")
    return number


def matches_rounded(claimed: float, actual: float) -> bool:
    """Return whether a claimed number equals the actual one, or the actual one rounded to the claimed digits."""
    if math.isclose(claimed, actual, rel_tol=1e-9, abs_tol=1e-12):
        return True
    digits = f"{claimed:.12f}".rstrip("0").partition(".")[2]
    rounded = bool(digits) or abs(claimed) >= _ROUNDED_TO_WHOLE
    return rounded and abs(claimed - actual) <= 0.5 * 10.0 ** -len(digits) * (1 + 1e-9)
