"""The client of the Hub's dataset viewer. It sends the Hub token only when the viewer belongs to the Hub."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ml_intern.configs.hosts import base_url, hub_url
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub_identity import get_hub_token
from ml_intern.net.service import Service, open_service
from ml_intern.text.formatting import listed

MAX_ROWS = 100
"""Maximum rows per request."""
_PREFERRED = ("default", "main", "train")
_MAX_NAMES = 40
_OFFICIAL = ".huggingface.co"


@dataclass(frozen=True)
class Rows:
    """Some rows of a split. `features` maps columns to types; `total` counts all matching rows."""

    features: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    first: int = 0
    total: int | None = None
    partial: bool = False
    """The viewer has only a part of the split."""


@dataclass(frozen=True)
class RowQuery:
    """The rows to return: an offset and length, with a text query or an SQL condition and order."""

    offset: int = 0
    length: int = MAX_ROWS
    query: str = ""
    where: str = ""
    orderby: str = ""


@dataclass(frozen=True)
class Viewer:
    """The viewer's answers about one dataset. Each call raises what `Service.get` raises."""

    service: Service
    dataset: str

    async def capabilities(self) -> Mapping[str, bool]:
        """Return which features the viewer has for this dataset: viewer, search, filter, statistics."""
        return {str(name): value is True for name, value in (await self._get("/is-valid")).items()}

    async def splits(self) -> dict[str, list[str]]:
        """Return the splits of each configuration, in order."""
        answer = await self._get("/splits")
        found: dict[str, list[str]] = {}
        for one in answer.get("splits", []):
            found.setdefault(str(one["config"]), []).append(str(one["split"]))
        return found

    async def info(self, config: str) -> Mapping[str, Any]:
        """Return the features and row counts of a configuration."""
        answer = await self._get("/info", config=config)
        return dict(answer.get("dataset_info") or {})

    async def statistics(self, config: str, split: str) -> Mapping[str, Any]:
        """Return the statistics of each column."""
        return dict(await self._get("/statistics", config=config, split=split))

    async def first_rows(self, config: str, split: str) -> Rows:
        """Return the first rows."""
        return rows_of(await self._get("/first-rows", config=config, split=split))

    async def rows(self, config: str, split: str, page: RowQuery) -> Rows:
        """Return rows by position, by text search, or by an SQL condition and order."""
        common = {"config": config, "split": split, "offset": page.offset, "length": page.length}
        if page.query:
            answer = await self._get("/search", query=page.query, **common)
        elif page.where or page.orderby:
            wanted = {name: text for name, text in (("where", page.where), ("orderby", page.orderby)) if text}
            answer = await self._get("/filter", **wanted, **common)
        else:
            answer = await self._get("/rows", **common)
        return rows_of(answer, page.offset)

    async def parquet(self, config: str) -> list[Mapping[str, Any]]:
        """Return the parquet files the Hub converted a configuration to."""
        answer = await self._get("/parquet", config=config)
        return [one for one in answer.get("parquet_files", []) if isinstance(one, Mapping)]

    async def _get(self, path: str, **params: Any) -> Mapping[str, Any]:
        answer = await self.service.get_json(path, {"dataset": self.dataset, **params})
        if not isinstance(answer, Mapping):
            raise ToolError("the dataset viewer returned a response in an unknown format")
        return answer


def rows_of(answer: Mapping[str, Any], first: int = 0) -> Rows:
    """Parse the rows in a response of the viewer."""
    return Rows(
        features={str(one["name"]): one.get("type") for one in answer.get("features", [])},
        rows=[one.get("row", {}) for one in answer.get("rows", [])],
        first=first,
        total=answer.get("num_rows_total"),
        partial=bool(answer.get("partial")),
    )


@asynccontextmanager
async def open_viewer(dataset: str, context: ToolContext) -> AsyncIterator[Viewer]:
    """Open the viewer of a dataset; close it at the end."""
    base = base_url(context.options.hosts, "dataset_viewer")
    token = await get_hub_token() if accepts_hub_token(base) else ""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with open_service("the dataset viewer", base, headers) as service:
        yield Viewer(service, dataset)


def accepts_hub_token(base: str) -> bool:
    """Return whether a viewer at this address may get the Hub token: it is the Hub, or both are Hugging Face's."""
    hub, viewer = urlsplit(hub_url()), urlsplit(base)
    if hub.hostname and hub.hostname.endswith(_OFFICIAL.lstrip(".")):
        return viewer.scheme == "https" and (viewer.hostname or "").endswith(_OFFICIAL)
    return (hub.scheme, hub.netloc) == (viewer.scheme, viewer.netloc)


def choose_config(splits: Mapping[str, Sequence[str]], wanted: str) -> str:
    """Return the wanted configuration, or the default one when none is wanted.

    Raises:
        ToolError: there is no such configuration; the message lists the existing ones.
    """
    if wanted and wanted not in splits:
        raise ToolError(f"there is no configuration {wanted!r}; choose from: {listed(list(splits), _MAX_NAMES)}")
    default = next((name for name in _PREFERRED if name in splits), next(iter(splits), ""))
    if not default:
        raise ToolError("the dataset viewer has no configuration of this dataset; list its files with hub_repos")
    return wanted or default


def choose_split(splits: Sequence[str], wanted: str) -> str:
    """Return the wanted split, else train, else the first. Raises ToolError like `choose_config`."""
    if wanted and wanted not in splits:
        raise ToolError(f"there is no split {wanted!r}; choose from: {listed(splits, _MAX_NAMES)}")
    return wanted or ("train" if "train" in splits else splits[0])
