"""SQL queries over the parquet files of a dataset with DuckDB, which can access no other files."""

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
"""Maximum total size of the parquet files a query may download."""
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


async def run_query(dataset: str, config: str, sql: str, limit: int, context: ToolContext) -> ToolResult:
    """Run a query and return at most `limit` rows.

    Raises:
        ToolError: DuckDB is not installed, the parquet files are missing or too large, or the query fails.
    """
    _require_duckdb()
    parts = await _parts(dataset, config, context)
    wanted = [part for part in parts if part.split in sql] or parts
    total = sum(part.size for part in wanted)
    if total > MAX_BYTES:
        raise ToolError(
            f"the query needs {size(total)} of parquet files, but the limit is {size(MAX_BYTES)}; query a single split"
        )
    files = await call_hub(lambda api: _download(api, dataset, wanted), f"dataset {dataset}", seconds=FETCH_SECONDS)
    text = await _query(files, sql, limit)
    return untrusted_result(text, f"{hub_url()}/datasets/{dataset}")


def _require_duckdb() -> None:
    from importlib.util import find_spec

    if find_spec("duckdb") is None:
        raise ToolError(
            f"SQL requires DuckDB: ask the user to run {install_hint('sql')}, or filter with the operation rows"
        )


async def _parts(dataset: str, config: str, context: ToolContext) -> list[Part]:
    """Return the parquet files the Hub converted the dataset to, or else its own parquet files."""
    try:
        async with open_viewer(dataset, context) as viewer:
            config = choose_config(await viewer.splits(), config)
            if found := [_part(one) for one in await viewer.parquet(config)]:
                return found
    except ToolError:
        if config:
            raise
    found = await call_hub(lambda api: _original_parts(api, dataset), f"dataset {dataset}")
    if not found:
        raise ToolError(f"dataset {dataset} has no parquet files; read its rows, or load it in a script")
    return found


def _part(one: Mapping[str, Any]) -> Part:
    path = unquote(urlsplit(str(one["url"])).path.partition("/resolve/")[2]).removeprefix(f"{_CONVERTED}/")
    return Part(str(one["split"]), path, int(one.get("size") or 0), _CONVERTED)


def _original_parts(api: "HfApi", dataset: str) -> list[Part]:
    tree = api.list_repo_tree(dataset, recursive=True, repo_type="dataset")
    files: list[Any] = [one for one in islice(tree, MAX_FILES) if one.path.endswith(".parquet")]
    return [
        Part(PurePosixPath(one.path).name.partition("-")[0].partition(".")[0], one.path, one.size, None)
        for one in files
    ]


def _download(api: "HfApi", dataset: str, parts: Sequence[Part]) -> dict[str, list[str]]:
    """Download the files to the Hub's cache and return their paths by split."""
    found: dict[str, list[str]] = {}
    for part in parts:
        path = api.hf_hub_download(dataset, part.path, repo_type="dataset", revision=part.revision)
        found.setdefault(part.split, []).append(str(Path(path).resolve()))
    return found


async def _query(files: Mapping[str, Sequence[str]], sql: str, limit: int) -> str:
    """Run the query in the child process. Raises ToolError with DuckDB's error message."""
    request = json.dumps({"files": files, "sql": sql, "limit": limit}).encode()
    try:
        found: dict[str, str] = json.loads(await run_child_program(_CHILD, stdin=request, seconds=QUERY_SECONDS))
    except TimeoutError as error:
        raise ToolError(f"the query took longer than {QUERY_SECONDS:g} s; query less data") from error
    except ValueError as error:
        raise ToolError("the query crashed DuckDB; query less data") from error
    if "error" in found:
        raise ToolError(found["error"])
    return found["text"]
