"""The dataset viewer: splits, features, rows, search, filter, statistics and parquet files of registered rows."""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.fakes.hub.accounts import Refused, need_reader

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

Row = Mapping[str, Any]
PAGE = 100
FIRST_ROWS = 100
_LABELS = 30
"""Distinct texts up to which the viewer takes a column for labels."""


@dataclass
class Split:
    """The rows of a split, and the types of its columns as the viewer writes them."""

    rows: Sequence[Row]
    features: dict[str, Any] = field(default_factory=dict[str, Any])


class Viewer:
    """What the viewer knows: dataset -> configuration -> split."""

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, dict[str, Split]]] = {}
        self.pending: set[str] = set()
        """Datasets whose answers are not ready yet."""
        self.failed: dict[str, str] = {}
        """Datasets the viewer cannot show, with its words."""

    def put(
        self,
        dataset: str,
        splits: Mapping[str, Sequence[Row]],
        config: str = "default",
        labels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Register rows. `labels` names the classes of integer columns."""
        found = self.datasets.setdefault(dataset, {}).setdefault(config, {})
        for name, rows in splits.items():
            types = {column: _type(_sample(rows, column)) for column in (rows[0] if rows else {})}
            named = {column: {"names": list(names), "_type": "ClassLabel"} for column, names in (labels or {}).items()}
            found[name] = Split(rows, types | named)


def _sample(rows: Sequence[Row], column: str) -> Any:
    return next((row[column] for row in rows if row.get(column) is not None), None)


def _type(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _type(item) for name, item in value.items()}
    if isinstance(value, list):
        return {"feature": _type(value[0] if value else None), "_type": "List"}
    names = {bool: "bool", int: "int64", float: "float64"}
    return {"dtype": names.get(type(value), "string"), "_type": "Value"}


def _error(status: int, message: str, code: str) -> Refused:
    return Refused(JSONResponse({"error": message}, status, {"X-Error-Code": code}))


def _configurations(hub: "FakeHub", request: Request) -> dict[str, dict[str, Split]]:
    dataset, viewer = request.query_params.get("dataset", ""), hub.viewer
    if not dataset:
        raise _error(422, "Parameter 'dataset' is required", "MissingRequiredParameter")
    found = hub.storage.find("datasets", dataset)
    try:
        need_reader(found, hub.account(request), content=True)
    except Refused as refused:
        said = "The dataset does not exist, or is not accessible with the current credentials (private or gated)."
        code = "ExternalAuthenticatedError" if request.headers.get("authorization") else "ExternalUnauthenticatedError"
        raise _error(404 if found is None else 401, f"{said} Please check the spelling.", code) from refused
    if dataset in viewer.pending:
        raise _error(500, "The server is busier than usual and the response is not ready yet.", "ResponseNotReady")
    if dataset in viewer.failed or dataset not in viewer.datasets:
        raise _error(
            501, viewer.failed.get(dataset, "The dataset viewer doesn't support this dataset."), "StreamingRowsError"
        )
    return viewer.datasets[dataset]


def _split(hub: "FakeHub", request: Request) -> Split:
    found, query = _configurations(hub, request), request.query_params
    if query.get("config") not in found:
        raise _error(404, f"The config {query.get('config')!r} does not exist.", "ConfigNotFoundError")
    if query.get("split") not in found[query["config"]]:
        raise _error(404, f"The split {query.get('split')!r} does not exist.", "SplitNotFoundError")
    return found[query["config"]][query["split"]]


async def is_valid(hub: "FakeHub", request: Request) -> Response:
    _configurations(hub, request)
    return JSONResponse(dict.fromkeys(("preview", "viewer", "search", "filter", "statistics"), True))


async def splits(hub: "FakeHub", request: Request) -> Response:
    dataset = request.query_params.get("dataset")
    found = [
        {"dataset": dataset, "config": config, "split": split}
        for config, parts in _configurations(hub, request).items()
        for split in parts
    ]
    return JSONResponse({"splits": found, "pending": [], "failed": []})


def _info(dataset: str, config: str, parts: Mapping[str, Split]) -> dict[str, Any]:
    return {
        "config_name": config,
        "dataset_name": dataset,
        "features": next(iter(parts.values())).features,
        "splits": {name: {"name": name, "num_examples": len(part.rows)} for name, part in parts.items()},
    }


async def info(hub: "FakeHub", request: Request) -> Response:
    found, config = _configurations(hub, request), request.query_params.get("config")
    dataset = request.query_params["dataset"]
    if config and config not in found:
        raise _error(404, f"The config {config!r} does not exist.", "ConfigNotFoundError")
    every = {name: _info(dataset, name, parts) for name, parts in found.items()}
    told: dict[str, Any] = {
        "dataset_info": every[config] if config else every,
        "pending": [],
        "failed": [],
        "partial": False,
    }
    return JSONResponse(told)


def _page(split: Split, rows: Sequence[tuple[int, Row]], total: int) -> dict[str, Any]:
    return {
        "features": [
            {"feature_idx": at, "name": name, "type": type_} for at, (name, type_) in enumerate(split.features.items())
        ],
        "rows": [{"row_idx": at, "row": dict(row), "truncated_cells": []} for at, row in rows],
        "num_rows_total": total,
        "num_rows_per_page": PAGE,
        "partial": False,
    }


async def first_rows(hub: "FakeHub", request: Request) -> Response:
    split = _split(hub, request)
    page = _page(split, list(enumerate(split.rows))[:FIRST_ROWS], len(split.rows))
    return JSONResponse({**page, "truncated": len(split.rows) > FIRST_ROWS})


def _part(request: Request, split: Split, rows: Sequence[tuple[int, Row]]) -> Response:
    offset, length = int(request.query_params.get("offset", 0)), int(request.query_params.get("length", PAGE))
    if length > PAGE:
        raise _error(422, f"Parameter 'length' must not be greater than {PAGE}", "InvalidParameter")
    return JSONResponse(_page(split, rows[offset : offset + length], len(rows)))


async def rows(hub: "FakeHub", request: Request) -> Response:
    split = _split(hub, request)
    return _part(request, split, list(enumerate(split.rows)))


async def search(hub: "FakeHub", request: Request) -> Response:
    split, words = _split(hub, request), request.query_params["query"].lower().split()
    found = [(at, row) for at, row in enumerate(split.rows) if all(one in json.dumps(row).lower() for one in words)]
    return _part(request, split, found)


async def filter_rows(hub: "FakeHub", request: Request) -> Response:
    split, query = _split(hub, request), request.query_params
    found = await asyncio.to_thread(_places, split, query.get("where") or "1", query.get("orderby") or "_at")
    return _part(request, split, [(at, split.rows[at]) for at in found])


def _places(split: Split, where: str, order: str) -> list[int]:
    """Where the rows that fulfil a condition stand, in an order."""
    with sqlite3.connect(":memory:") as database:
        columns = ", ".join(f'"{name}"' for name in split.features)
        database.execute(f"create table rows (_at integer, {columns})")
        marks = ", ".join("?" * (len(split.features) + 1))
        plain = [[at, *map(_plain, (row.get(name) for name in split.features))] for at, row in enumerate(split.rows)]
        database.executemany(f"insert into rows values ({marks})", plain)
        try:
            return [at for (at,) in database.execute(f"select _at from rows where {where} order by {order}")]
        except sqlite3.Error as error:
            raise _error(422, f"A query parameter is invalid: {error}", "InvalidParameter") from error


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


async def statistics(hub: "FakeHub", request: Request) -> Response:
    split = _split(hub, request)
    found = [_column(name, type_, [row.get(name) for row in split.rows]) for name, type_ in split.features.items()]
    return JSONResponse({"num_examples": len(split.rows), "statistics": found, "partial": False})


def _column(name: str, type_: Any, values: list[Any]) -> dict[str, Any]:
    given = [value for value in values if value is not None]
    missing = {"nan_count": len(values) - len(given), "nan_proportion": 1 - len(given) / max(len(values), 1)}
    if isinstance(type_, dict) and type_.get("_type") == "ClassLabel":
        counts = Counter(type_["names"][value] for value in given)
        told = {"no_label_count": 0, "n_unique": len(counts), "frequencies": dict(counts)}
        return {"column_name": name, "column_type": "class_label", "column_statistics": missing | told}
    if given and all(isinstance(value, str) for value in given) and len(set(given)) <= _LABELS < len(given):
        told = {"n_unique": len(set(given)), "frequencies": dict(Counter(given))}
        return {"column_name": name, "column_type": "string_label", "column_statistics": missing | told}
    numbers = [len(value) if isinstance(value, str | list | dict) else value for value in given] or [0]
    kinds = {str: "string_text", bool: "bool", int: "int", float: "float", list: "list"}
    spread = {
        "min": min(numbers),
        "max": max(numbers),
        "mean": sum(numbers) / len(numbers),
        "median": sorted(numbers)[len(numbers) // 2],
    }
    return {
        "column_name": name,
        "column_type": kinds.get(type(given[0]) if given else str, "list"),
        "column_statistics": {**missing, **spread, "std": 0.0},
    }


async def parquet(hub: "FakeHub", request: Request) -> Response:
    dataset, config = request.query_params.get("dataset", ""), request.query_params.get("config")
    _configurations(hub, request)
    repository = hub.storage.find("datasets", dataset)
    commit = repository.branches.get("refs/convert/parquet") if repository else None
    found = [
        {
            "dataset": dataset,
            "config": path.split("/")[0],
            "split": path.split("/")[1],
            "url": f"{hub.url}/datasets/{dataset}/resolve/refs%2Fconvert%2Fparquet/{path}",
            "filename": path.rpartition("/")[2],
            "size": len(blob),
        }
        for path, blob in (commit.files.items() if commit else ())
        if config in (None, path.split("/")[0])
    ]
    return JSONResponse({"parquet_files": found, "pending": [], "failed": [], "partial": False})


ROUTES = [
    ("GET", "/viewer/is-valid", is_valid),
    ("GET", "/viewer/splits", splits),
    ("GET", "/viewer/info", info),
    ("GET", "/viewer/first-rows", first_rows),
    ("GET", "/viewer/rows", rows),
    ("GET", "/viewer/search", search),
    ("GET", "/viewer/filter", filter_rows),
    ("GET", "/viewer/statistics", statistics),
    ("GET", "/viewer/parquet", parquet),
]
