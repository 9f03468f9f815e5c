"""The report on a dataset before training, from the viewer or, if that fails, from the dataset's files."""

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.output import write_private
from ml_intern.execution.provenance import render_untrusted
from ml_intern.execution.tool import ToolContext
from ml_intern.net.dataset_viewer import Rows, Viewer, choose_config, choose_split, open_viewer
from ml_intern.net.hub import call_hub
from ml_intern.text.formatting import and_more, listed
from ml_intern.tools.datasets.columns import DatasetRow, describe_type, find_conversations, matching_trainers
from ml_intern.tools.datasets.files import read_samples
from ml_intern.tools.datasets.statistics import (
    balance_lines,
    class_counts,
    column_lines,
    duplicate_lines,
    overlap_lines,
    sampled_counts,
)

SAMPLES = 3
CARD = "README.md"
_CELL = 300
_MAX_COLUMNS = 60
_MAX_OTHERS = 2
"""Other splits to compare with the inspected one."""
_MAX_NAMES = 40
_CAPABILITIES = ("search", "filter", "statistics")


@dataclass
class Findings:
    """The findings; `notes` says what could not be determined."""

    config: str
    split: str
    splits: Mapping[str, Sequence[str]]
    rows: Rows
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of rows of each split."""
    statistics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    others: Mapping[str, Sequence[DatasetRow]] = field(default_factory=dict[str, Sequence[DatasetRow]])
    """The first rows of other splits."""
    notes: list[str] = field(default_factory=list[str])


async def inspect_dataset(dataset: str, config: str, split: str, context: ToolContext) -> ToolResult:
    """Return the report on a split of a dataset.

    Raises:
        ToolError: there is no such dataset, configuration or split, or none of its content is accessible.
    """
    info = await call_hub(lambda api: api.dataset_info(dataset), f"dataset {dataset}")
    try:
        async with open_viewer(info.id, context) as viewer:
            found = await _from_viewer(viewer, config, split)
    except ToolError as error:
        if config or split:
            raise
        found = await _from_files(info.id, f"the dataset viewer does not show it: {error}")
    head = [*_head(info), *await _configurations(found, context)]
    return await render_untrusted(lambda: "\n".join([*head, *_body(found)]), f"{hub_url()}/datasets/{info.id}")


async def _from_viewer(viewer: Viewer, config: str, split: str) -> Findings:
    splits = await viewer.splits()
    config = choose_config(splits, config)
    split = choose_split(splits[config], split)
    others = [name for name in splits[config] if name != split][:_MAX_OTHERS]
    notes = list[str]()
    rows, capabilities, info, statistics, *more = await asyncio.gather(
        viewer.first_rows(config, split),
        _note_on_error(viewer.capabilities(), "viewer capabilities", notes),
        _note_on_error(viewer.info(config), "row counts", notes),
        _note_on_error(viewer.statistics(config, split), "statistics", notes),
        *(_note_on_error(viewer.first_rows(config, name), f"rows of {name}", notes) for name in others),
    )
    samples = {name: one.rows for name, one in zip(others, more, strict=True) if isinstance(one, Rows)}
    counts = {str(name): int(one.get("num_examples") or 0) for name, one in ((info or {}).get("splits") or {}).items()}
    found = Findings(config, split, splits, rows, counts, statistics or {}, samples, notes)
    if unsupported := [what for what in _CAPABILITIES if not (capabilities or {}).get(what, True)]:
        notes.append(f"the viewer does not support {', '.join(unsupported)} for this dataset")
    if rows.partial or (statistics or {}).get("partial"):
        notes.append("the viewer has only a part of this split; its numbers describe that part")
    return found


async def _note_on_error(answer: Awaitable[Any], what: str, notes: list[str]) -> Any:
    """Return the answer, or None after adding a note with the error."""
    try:
        return await answer
    except ToolError as error:
        notes.append(f"no {what}: {error}")
        return None


async def _from_files(dataset: str, note: str) -> Findings:
    samples = await call_hub(lambda api: read_samples(api, dataset), f"dataset {dataset}", seconds=300)
    splits = list(samples.rows)
    first = choose_split(splits, "")
    others = {name: rows for name, rows in samples.rows.items() if name != first}
    rows = Rows({}, samples.rows[first])
    return Findings("(files)", first, {"(files)": splits}, rows, samples.counts, {}, others, [note, *samples.notes])


def _head(info: Any) -> list[str]:
    card = info.card_data.to_dict() if info.card_data else {}
    gated = f", gated ({info.gated})" if info.gated else ""
    named = [f"{name} {card[name]}" for name in ("license", "language", "task_categories") if card.get(name)]
    about = " · ".join(named) or _without_metadata(info)
    return [f"dataset {info.id}, {'private' if info.private else 'public'}{gated} · {about}"]


def _without_metadata(info: Any) -> str:
    """Describe a card without license, language and task. The card is README.md, with or without metadata."""
    has_readme = any(file.rfilename == CARD for file in info.siblings or ())
    return f"{CARD} does not name a license, language or task" if has_readme else f"no card ({CARD})"


async def _configurations(found: Findings, context: ToolContext) -> list[str]:
    names = list(found.splits)
    parts = [
        f"{name} ({found.counts[name]:,})" if name in found.counts else name for name in found.splits[found.config]
    ]
    lines = [f"splits of {found.config}: {', '.join(parts)}"]
    if len(names) > 1:
        lines.append(f"{len(names):,} configurations: {listed(names, _MAX_NAMES)}; this is {found.config}")
    if len(names) > _MAX_NAMES:
        path = context.artifact_path(".configurations.txt")
        await asyncio.to_thread(write_private, path, "\n".join(names))
        lines.append(f"all names: {path}")
    return lines


def _body(found: Findings) -> list[str]:
    features, rows = found.rows.features, found.rows.rows
    counts = class_counts(found.statistics)
    balance = balance_lines(counts, sample=False) or balance_lines(sampled_counts(features, rows), sample=True)
    parts: list[tuple[str, list[str]]] = [
        (f"columns of {found.split}", _columns(found)),
        ("conversations", [one.summary for one in find_conversations(rows)]),
        ("trainers", matching_trainers(features, rows)),
        ("labels", balance),
        (f"duplicates among the first {len(rows)} rows", duplicate_lines(rows)),
        ("overlap", overlap_lines({found.split: rows, **found.others})),
        (f"the first {min(SAMPLES, len(rows))} rows", [_row(row) for row in rows[:SAMPLES]]),
        ("unknown", found.notes),
    ]
    return [line for title, lines in parts if lines for line in (f"{title}:", *(f"  {line}" for line in lines))]


def _columns(found: Findings) -> list[str]:
    statistics = column_lines(found.statistics)
    names = list(found.rows.features) or list(dict.fromkeys(name for row in found.rows.rows for name in row))
    lines = [_column(name, found, statistics.get(name, "")) for name in names[:_MAX_COLUMNS]]
    return [*lines, *filter(None, [and_more(len(names), _MAX_COLUMNS)])]


def _column(name: str, found: Findings, statistics: str) -> str:
    values = [row.get(name) for row in found.rows.rows]
    kind = describe_type(found.rows.features[name]) if found.rows.features else _kinds(values)
    missing = sum(value is None or value == "" for value in values)
    empty = f"; {missing} of the first {len(values)} are empty" if missing else ""
    return f"{name}: {kind}{'; ' + statistics if statistics else ''}{empty}"


def _kinds(values: Sequence[Any]) -> str:
    return " or ".join(dict.fromkeys(type(value).__name__ for value in values if value is not None)) or "empty"


def _row(row: DatasetRow) -> str:
    line = json.dumps(row, ensure_ascii=False, default=str)
    most = _CELL * max(2, min(len(row), 6))
    return line if len(line) <= most else f"{line[:most]}… ({len(line):,} characters)"
