"""The datasets tool: searches datasets, inspects one before training, reads rows, and runs SQL over parquet files."""

import json
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.dataset_viewer import MAX_ROWS, RowQuery, Rows, choose_config, choose_split, open_viewer
from ml_intern.net.hub import call_hub
from ml_intern.text.formatting import plural
from ml_intern.text.visible import visible
from ml_intern.tools.datasets.report import inspect_dataset
from ml_intern.tools.datasets.sql import run_query
from ml_intern.tools.hub.hub_search import HubSearchArgs, Sort, run_search

CELL_CHARACTERS = 600
_BY_NAME = ("inspect", "rows", "sql", "leaderboard")


class DatasetsArgs(ToolArgs):
    """The arguments of datasets."""

    operation: Literal["search", "inspect", "rows", "sql", "leaderboard"] = Field(
        description="search uses query, filters, sort; the others use dataset, config and split; sql also uses sql."
    )
    dataset: str = Field("", max_length=200, pattern=r"^[\w./-]*$", description="org/name of the dataset.")
    config: str = Field("", max_length=200, description="The configuration (subset); empty for the default one.")
    split: str = Field("", max_length=200, description="train, test ...; empty for train.")
    query: str = Field("", max_length=300, description="search: words in the name. rows: words in a row's text.")
    filters: list[str] = Field(
        default_factory=list, max_length=10, description="search: tags such as task_categories:text-classification."
    )
    sort: Sort = Field("trending", description="search: sort order, best first.")
    where: str = Field(
        "",
        max_length=1_000,
        description="""rows: a condition, columns in double quotes: "label"=1 AND "text" LIKE 'A%'.""",
    )
    orderby: str = Field("", max_length=200, description='rows: a sort order such as "score" DESC.')
    sql: str = Field(
        "",
        max_length=5_000,
        description="One DuckDB SELECT; each split is a table: SELECT label, count(*) FROM train ...",
    )
    offset: int = Field(0, ge=0, description="rows: how many rows to skip.")
    limit: int = Field(10, ge=1, le=MAX_ROWS, description="The maximum number of entries or rows.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.operation in _BY_NAME and not self.dataset.strip("/"):
            raise ValueError(f"{self.operation} needs a dataset")
        if self.operation == "sql" and not self.sql.strip():
            raise ValueError("sql needs a query in sql")
        if self.query and (self.where or self.orderby):
            raise ValueError("query cannot be combined with where or orderby; make two calls")
        return self

    @property
    def about(self) -> str:
        """Type and name for error messages."""
        return f"dataset {self.dataset}"


@tool(read_only=True, path_args=(), timeout=600)
async def datasets(args: DatasetsArgs, context: ToolContext) -> ToolResult:
    """Find datasets on the Hub and inspect one before you train on it.

    - search: by words, tags and sort order, with details of each dataset.
    - inspect: always use it before training. Shows configurations, splits with row counts, columns with types, label
      names and statistics, sample rows, the conversation format, imbalance, duplicates, and matching trainers.
    - rows: rows of a split by position (offset), words (query), or condition (where, orderby).
    - sql: a query over the parquet files, for counts and joins over all rows. Requires the optional SQL extra.
    - leaderboard: models evaluated on the dataset.
    """
    match args.operation:
        case "search":
            found = HubSearchArgs(
                kind="datasets", query=args.query, filters=args.filters, sort=args.sort, limit=args.limit
            )
            return await run_search(found)
        case "inspect":
            return await inspect_dataset(args.dataset, args.config, args.split, context)
        case "rows":
            return await _rows(args, context)
        case "sql":
            return await run_query(args.dataset, args.config, args.sql, args.limit, context)
        case _:
            return await _leaderboard(args)


async def _rows(args: DatasetsArgs, context: ToolContext) -> ToolResult:
    page = RowQuery(args.offset, args.limit, args.query, args.where, args.orderby)
    async with open_viewer(args.dataset, context) as viewer:
        try:
            splits = await viewer.splits()
        except ToolError:
            # The Hub's error is clearer about what is missing: the dataset, the token, or acceptance of the terms.
            await call_hub(lambda api: api.auth_check(args.dataset, repo_type="dataset"), args.about)
            raise
        config = choose_config(splits, args.config)
        split = choose_split(splits[config], args.split)
        found = await viewer.rows(config, split, page)
    if not found.rows:
        raise ToolError(
            f"no matching rows of {args.dataset} ({config}, {split}) at offset {found.first}; "
            f"{plural(found.total or 0, 'row')} match"
        )
    last = found.first + len(found.rows)
    total = f" of {found.total:,}" if found.total is not None else ""
    part = "; the viewer has only a part of this split" if found.partial else ""
    note = f"[{config}, {split}: rows {found.first:,} to {last - 1:,}{total}{part}]"
    return await render_untrusted(lambda: "\n".join([*shown_rows(found), note]), f"{hub_url()}/datasets/{args.dataset}")


def shown_rows(found: Rows) -> list[str]:
    """Format each row as one line of JSON with long cells cut."""
    return [json.dumps({name: cell(value) for name, value in row.items()}, ensure_ascii=False) for row in found.rows]


def cell(value: Any, max_characters: int = CELL_CHARACTERS) -> Any:
    """Return a value for display, with long texts cut, also within lists and mappings."""
    if isinstance(value, str):
        return (
            visible(value)
            if len(value) <= max_characters
            else f"{visible(value[:max_characters])}… ({len(value):,} characters)"
        )
    if isinstance(value, dict):
        return {name: cell(item, max_characters) for name, item in value.items()}
    if isinstance(value, list):
        shown: Sequence[Any] = value[:20]
        more = [f"… ({len(value):,} items)"] if len(value) > len(shown) else []
        return [*(cell(item, max_characters) for item in shown), *more]
    return value


async def _leaderboard(args: DatasetsArgs) -> ToolResult:
    found = await call_hub(lambda api: api.get_dataset_leaderboard(args.dataset), f"the leaderboard of {args.about}")
    lines = [
        f"{one.rank}. {one.model_id}: {one.value}{'' if one.verified else ' (unverified)'}"
        for one in found[: args.limit]
    ]
    return untrusted_result("\n".join(lines) or "(empty)", f"{hub_url()}/datasets/{args.dataset}")
