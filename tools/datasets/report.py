"""What is to be known of a dataset before training on it, put together from the viewer, else from its files."""

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
from ml_intern.tools.datasets.columns import Row, conversations, fitting, type_words
from ml_intern.tools.datasets.files import sampled
from ml_intern.tools.datasets.statistics import (
    balance_lines,
    class_counts,
    column_lines,
    duplicate_lines,
    overlap_lines,
    sampled_counts,
)

SAMPLES = 3
_CELL = 300
_MAX_COLUMNS = 60
_MAX_OTHERS = 2
"""Further splits that are compared with the one looked into."""
_MAX_NAMED = 40
_ABILITIES = ("search", "filter", "statistics")


@dataclass
class Findings:
    """What was found out; what could not be is in `notes`."""

    config: str
    split: str
    splits: Mapping[str, Sequence[str]]
    rows: Rows
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows of each split."""
    statistics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    others: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    """The first rows of other splits."""
    notes: list[str] = field(default_factory=list[str])


async def report(dataset: str, config: str, split: str, context: ToolContext) -> ToolResult:
    """The report on a split of a dataset.

    Raises:
        ToolError: there is no such dataset, configuration or split, or nothing can be seen of it.
    """
    known = await call_hub(lambda api: api.dataset_info(dataset), f"dataset {dataset}")
    try:
        async with open_viewer(known.id, context) as viewer:
            found = await _from_viewer(viewer, config, split)
    except ToolError as fault:
        if config or split:
            raise
        found = await _from_files(known.id, f"the dataset viewer does not show it: {fault}")
    head = [*_head(known), *await _configurations(found, context)]
    return await render_untrusted(lambda: "\n".join([*head, *_body(found)]), f"{hub_url()}/datasets/{known.id}")


async def _from_viewer(viewer: Viewer, config: str, split: str) -> Findings:
    splits = await viewer.splits()
    config = choose_config(splits, config)
    split = choose_split(splits[config], split)
    others = [name for name in splits[config] if name != split][:_MAX_OTHERS]
    notes = list[str]()
    rows, able, info, statistics, *more = await asyncio.gather(
        viewer.first_rows(config, split),
        _or_note(viewer.capabilities(), "word on what the viewer can do", notes),
        _or_note(viewer.info(config), "row counts", notes),
        _or_note(viewer.statistics(config, split), "statistics", notes),
        *(_or_note(viewer.first_rows(config, name), f"rows of {name}", notes) for name in others),
    )
    samples = {name: one.rows for name, one in zip(others, more, strict=True) if isinstance(one, Rows)}
    counts = {str(name): int(one.get("num_examples") or 0) for name, one in ((info or {}).get("splits") or {}).items()}
    found = Findings(config, split, splits, rows, counts, statistics or {}, samples, notes)
    if lacking := [what for what in _ABILITIES if not (able or {}).get(what, True)]:
        notes.append(f"the viewer cannot do {', '.join(lacking)} with this dataset")
    if rows.partial or (statistics or {}).get("partial"):
        notes.append("the viewer holds only a part of this split; its numbers are of that part")
    return found


async def _or_note(answer: Awaitable[Any], what: str, notes: list[str]) -> Any:
    """The answer, or None and a note why there is none."""
    try:
        return await answer
    except ToolError as fault:
        notes.append(f"no {what}: {fault}")
        return None


async def _from_files(dataset: str, note: str) -> Findings:
    samples = await call_hub(lambda api: sampled(api, dataset), f"dataset {dataset}", seconds=300)
    splits = list(samples.rows)
    first = choose_split(splits, "")
    others = {name: rows for name, rows in samples.rows.items() if name != first}
    rows = Rows({}, samples.rows[first])
    return Findings("(files)", first, {"(files)": splits}, rows, samples.counts, {}, others, [note, *samples.notes])


def _head(known: Any) -> list[str]:
    card = known.card_data.to_dict() if known.card_data else {}
    gated = f", gated ({known.gated})" if known.gated else ""
    named = [f"{name} {card[name]}" for name in ("license", "language", "task_categories") if card.get(name)]
    return [f"dataset {known.id}, {'private' if known.private else 'public'}{gated} · {' · '.join(named) or 'no card'}"]


async def _configurations(found: Findings, context: ToolContext) -> list[str]:
    names = list(found.splits)
    parts = [
        f"{name} ({found.counts[name]:,})" if name in found.counts else name for name in found.splits[found.config]
    ]
    lines = [f"splits of {found.config}: {', '.join(parts)}"]
    if len(names) > 1:
        lines.append(f"{len(names):,} configurations: {listed(names, _MAX_NAMED)}; this is {found.config}")
    if len(names) > _MAX_NAMED:
        path = context.artifact_path(".configurations.txt")
        await asyncio.to_thread(write_private, path, "\n".join(names))
        lines.append(f"all their names: {path}")
    return lines


def _body(found: Findings) -> list[str]:
    features, rows = found.rows.features, found.rows.rows
    counts = class_counts(found.statistics)
    balance = balance_lines(counts, sample=False) or balance_lines(sampled_counts(features, rows), sample=True)
    parts: list[tuple[str, list[str]]] = [
        (f"columns of {found.split}", _columns(found)),
        ("conversations", [one.words for one in conversations(rows)]),
        ("trainers", fitting(features, rows)),
        ("labels", balance),
        (f"duplicates among the first {len(rows)} rows", duplicate_lines(rows)),
        ("overlap", overlap_lines({found.split: rows, **found.others})),
        (f"the first {min(SAMPLES, len(rows))} rows", [_row(row) for row in rows[:SAMPLES]]),
        ("not known", found.notes),
    ]
    return [line for title, lines in parts if lines for line in (f"{title}:", *(f"  {line}" for line in lines))]


def _columns(found: Findings) -> list[str]:
    said = column_lines(found.statistics)
    names = list(found.rows.features) or list(dict.fromkeys(name for row in found.rows.rows for name in row))
    lines = [_column(name, found, said.get(name, "")) for name in names[:_MAX_COLUMNS]]
    return [*lines, *filter(None, [and_more(len(names), _MAX_COLUMNS)])]


def _column(name: str, found: Findings, said: str) -> str:
    values = [row.get(name) for row in found.rows.rows]
    kind = type_words(found.rows.features[name]) if found.rows.features else _kinds(values)
    missing = sum(value is None or value == "" for value in values)
    empty = f"; {missing} of the first {len(values)} are empty" if missing else ""
    return f"{name}: {kind}{'; ' + said if said else ''}{empty}"


def _kinds(values: Sequence[Any]) -> str:
    return " or ".join(dict.fromkeys(type(value).__name__ for value in values if value is not None)) or "empty"


def _row(row: Row) -> str:
    line = json.dumps(row, ensure_ascii=False, default=str)
    most = _CELL * max(2, min(len(row), 6))
    return line if len(line) <= most else f"{line[:most]}… ({len(line):,} characters)"
