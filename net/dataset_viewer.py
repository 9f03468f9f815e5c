"""The dataset viewer: what it knows of a dataset on the Hub. The token goes to it where it belongs to the Hub."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ml_intern.configs.hosts import base_url, hub_url
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub_identity import hub_login
from ml_intern.net.service import Service, open_service

MAX_ROWS = 100
"""Rows that it gives at a time."""
_PREFERRED = ("default", "main", "train")
_OFFICIAL = ".huggingface.co"


@dataclass(frozen=True)
class Rows:
    """Some rows of a split. `features` are the types by column; `total` counts all that match."""

    features: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    first: int = 0
    total: int | None = None
    partial: bool = False
    """The viewer holds only a part of the split."""


@dataclass(frozen=True)
class Page:
    """Which rows are wanted."""

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

    async def abilities(self) -> Mapping[str, bool]:
        """What it can do with this dataset: viewer, search, filter, statistics."""
        return {str(name): able is True for name, able in (await self._get("/is-valid")).items()}

    async def splits(self) -> dict[str, list[str]]:
        """The splits of each configuration, in order."""
        answer = await self._get("/splits")
        found: dict[str, list[str]] = {}
        for one in answer.get("splits", []):
            found.setdefault(str(one["config"]), []).append(str(one["split"]))
        return found

    async def info(self, config: str) -> Mapping[str, Any]:
        """Features and row counts of a configuration."""
        answer = await self._get("/info", config=config)
        return dict(answer.get("dataset_info") or {})

    async def statistics(self, config: str, split: str) -> Mapping[str, Any]:
        """The statistics of each column."""
        return dict(await self._get("/statistics", config=config, split=split))

    async def first_rows(self, config: str, split: str) -> Rows:
        """The first rows."""
        return rows_of(await self._get("/first-rows", config=config, split=split))

    async def rows(self, config: str, split: str, page: Page) -> Rows:
        """Rows by their place, by words that their texts hold, or by an SQL condition and an order."""
        asked = {"config": config, "split": split, "offset": page.offset, "length": page.length}
        if page.query:
            answer = await self._get("/search", query=page.query, **asked)
        elif page.where or page.orderby:
            wanted = {name: text for name, text in (("where", page.where), ("orderby", page.orderby)) if text}
            answer = await self._get("/filter", **wanted, **asked)
        else:
            answer = await self._get("/rows", **asked)
        return rows_of(answer, page.offset)

    async def parquet(self, config: str) -> list[Mapping[str, Any]]:
        """The parquet files that the Hub made of a configuration."""
        answer = await self._get("/parquet", config=config)
        return [one for one in answer.get("parquet_files", []) if isinstance(one, Mapping)]

    async def _get(self, path: str, **params: Any) -> Mapping[str, Any]:
        answer = await self.service.get_json(path, {"dataset": self.dataset, **params})
        if not isinstance(answer, Mapping):
            raise ToolError("the dataset viewer answered in an unknown form")
        return answer


def rows_of(answer: Mapping[str, Any], first: int = 0) -> Rows:
    """The rows in an answer of the viewer."""
    return Rows(
        features={str(one["name"]): one.get("type") for one in answer.get("features", [])},
        rows=[one.get("row", {}) for one in answer.get("rows", [])],
        first=first,
        total=answer.get("num_rows_total"),
        partial=bool(answer.get("partial")),
    )


@asynccontextmanager
async def open_viewer(dataset: str, context: ToolContext) -> AsyncIterator[Viewer]:
    """The viewer of a dataset, closed at the end."""
    base = base_url(context.options.hosts, "dataset_viewer")
    token = await hub_login() if belongs_to_hub(base) else ""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with open_service("the dataset viewer", base, headers) as service:
        yield Viewer(service, dataset)


def belongs_to_hub(base: str) -> bool:
    """Whether the Hub's token may go to a viewer at this address: it is the Hub itself, or both are Hugging Face's."""
    hub, viewer = urlsplit(hub_url()), urlsplit(base)
    if hub.hostname and hub.hostname.endswith(_OFFICIAL.lstrip(".")):
        return viewer.scheme == "https" and (viewer.hostname or "").endswith(_OFFICIAL)
    return (hub.scheme, hub.netloc) == (viewer.scheme, viewer.netloc)


def chosen_config(splits: Mapping[str, Sequence[str]], wanted: str) -> str:
    """The configuration that is meant: the one named, else the one that usually is.

    Raises:
        ToolError: there is no such configuration; it names those there are.
    """
    if wanted and wanted not in splits:
        raise ToolError(f"there is no configuration {wanted!r}; there are {listed(list(splits))}")
    usual = next((name for name in _PREFERRED if name in splits), next(iter(splits), ""))
    if not usual:
        raise ToolError("the dataset viewer knows no configuration of it; look at its files with hub_repos")
    return wanted or usual


def chosen_split(splits: Sequence[str], wanted: str) -> str:
    """The split that is meant: the one named, else train, else the first. Raises ToolError like `chosen_config`."""
    if wanted and wanted not in splits:
        raise ToolError(f"there is no split {wanted!r}; there are {listed(splits)}")
    return wanted or ("train" if "train" in splits else splits[0])


def listed(names: Sequence[str], most: int = 40) -> str:
    """Names, the first of them when they are many."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
