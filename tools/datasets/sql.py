"""SQL over the parquet files of a dataset, by DuckDB, which sees these files and nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ml_intern.configs.hosts import hub_url
from ml_intern.configs.version import install_hint
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.execution.tool import ToolContext
from ml_intern.net.child_program import run_child_program
from ml_intern.net.dataset_viewer import choose_config, open_viewer
from ml_intern.net.hub import call_hub
from ml_intern.text.formatting import size

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_BYTES = 3_000_000_000
"""Of parquet files that a query may fetch."""
MAX_FILES = 5_000
FETCH_SECONDS = 500.0
QUERY_SECONDS = 90.0
_CHILD = Path(__file__).with_name("sql_child.py")
_CONVERTED = "refs/convert/parquet"


@dataclass(frozen=True)
class Part:
    """A parquet file of a split."""

    split: str
    path: str
    size: int
    revision: str | None


async def answered(dataset: str, config: str, sql: str, limit: int, context: ToolContext) -> ToolResult:
    """The rows a query gives, at most `limit`.

    Raises:
        ToolError: DuckDB is not installed, the dataset has no parquet files or too large ones, or the query fails.
    """
    _need_duckdb()
    parts = await _parts(dataset, config, context)
    wanted = [part for part in parts if part.split in sql] or parts
    total = sum(part.size for part in wanted)
    if total > MAX_BYTES:
        raise ToolError(f"the query needs {size(total)} of parquet files, at most {size(MAX_BYTES)}; name one split")
    files = await call_hub(lambda api: _fetched(api, dataset, wanted), f"dataset {dataset}", seconds=FETCH_SECONDS)
    text = await _run(files, sql, limit)
    return untrusted_result(text, f"{hub_url()}/datasets/{dataset}")


def _need_duckdb() -> None:
    from importlib.util import find_spec

    if find_spec("duckdb") is None:
        raise ToolError(
            f"SQL needs DuckDB: ask the user to run {install_hint('sql')}; the operation rows filters without it"
        )


async def _parts(dataset: str, config: str, context: ToolContext) -> list[Part]:
    """The parquet files the Hub made of it; where there are none, its own."""
    try:
        async with open_viewer(dataset, context) as viewer:
            config = choose_config(await viewer.splits(), config)
            if found := [_part(one) for one in await viewer.parquet(config)]:
                return found
    except ToolError:
        if config:
            raise
    found = await call_hub(lambda api: _own_parts(api, dataset), f"dataset {dataset}")
    if not found:
        raise ToolError(f"dataset {dataset} has no parquet files; read its rows, or load it in a script")
    return found


def _part(one: Mapping[str, Any]) -> Part:
    path = unquote(urlsplit(str(one["url"])).path.partition("/resolve/")[2]).removeprefix(f"{_CONVERTED}/")
    return Part(str(one["split"]), path, int(one.get("size") or 0), _CONVERTED)


def _own_parts(api: "HfApi", dataset: str) -> list[Part]:
    tree = api.list_repo_tree(dataset, recursive=True, repo_type="dataset")
    files: list[Any] = [one for one in islice(tree, MAX_FILES) if one.path.endswith(".parquet")]
    return [
        Part(PurePosixPath(one.path).name.partition("-")[0].partition(".")[0], one.path, one.size, None)
        for one in files
    ]


def _fetched(api: "HfApi", dataset: str, parts: Sequence[Part]) -> dict[str, list[str]]:
    """The files in the Hub's cache, by split."""
    found: dict[str, list[str]] = {}
    for part in parts:
        path = api.hf_hub_download(dataset, part.path, repo_type="dataset", revision=part.revision)
        found.setdefault(part.split, []).append(str(Path(path).resolve()))
    return found


async def _run(files: Mapping[str, Sequence[str]], sql: str, limit: int) -> str:
    """The child's answer. Raises ToolError with what DuckDB says against the query."""
    asked = json.dumps({"files": files, "sql": sql, "limit": limit}).encode()
    try:
        found: dict[str, str] = json.loads(await run_child_program(_CHILD, stdin=asked, seconds=QUERY_SECONDS))
    except TimeoutError as error:
        raise ToolError(f"the query took longer than {QUERY_SECONDS:g} s; ask for less of the dataset") from error
    except ValueError as error:
        raise ToolError("the query ended DuckDB; ask for less of the dataset") from error
    if "fault" in found:
        raise ToolError(found["fault"])
    return found["text"]
