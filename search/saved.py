"""Searches in the store: read and write them as the plain values of search/record.py."""

from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

from pydantic import TypeAdapter

from ml_intern.search.plan import SearchLimits
from ml_intern.search.record import SearchRecord
from ml_intern.search.tree import Attempt, SearchTree
from ml_intern.store.searches.table import SearchRow
from ml_intern.store.store import Store

_RECORD: Final = TypeAdapter(SearchRecord)
_ATTEMPT: Final = TypeAdapter(Attempt)
_LIMITS: Final = TypeAdapter(SearchLimits)


def _body(record: SearchRecord) -> str:
    return _RECORD.dump_json(replace(record, tree=SearchTree(record.plan.objective))).decode()


def new_search_id() -> str:
    """Return the id of a new search."""
    return uuid4().hex[:8]


def lock_name_of(search_id: str) -> str:
    """Return the name of the lock that the process of a search holds."""
    return f"search-{search_id}"


@dataclass(frozen=True)
class SavedSearch:
    """A search of a store."""

    store: Store
    search_id: str

    async def load(self) -> SearchRecord:
        """Return the search as it is saved."""
        return await self._loaded(await self.store.searches.get(self.search_id))

    async def _loaded(self, row: SearchRow) -> SearchRecord:
        record = _RECORD.validate_json(row.body)
        bodies = await self.store.searches.attempts(row.id)
        attempts = tuple(_ATTEMPT.validate_json(body) for body in bodies)
        limits = _LIMITS.validate_json(row.limits)
        return replace(record, tree=SearchTree(record.plan.objective, attempts), limits=limits)

    async def save(self, record: SearchRecord) -> None:
        """Save the search without its attempts and limits."""
        await self.store.searches.save(self.search_id, record.state, _body(record))

    async def save_attempt(self, attempt: Attempt) -> None:
        """Save an attempt."""
        body = _ATTEMPT.dump_json(attempt).decode()
        await self.store.searches.put_attempt(self.search_id, attempt.number, attempt.state, body)

    async def runs(self) -> bool:
        """Return whether a process runs the search."""
        return await self.store.is_held(lock_name_of(self.search_id))

    async def asked(self) -> tuple[str, SearchLimits]:
        """Return what the user asks for: run, pause, finish or stop, and the limits."""
        row = await self.store.searches.get(self.search_id)
        return row.wanted, _LIMITS.validate_json(row.limits)

    async def ask(self, wanted: str | None = None, limits: SearchLimits | None = None) -> None:
        """Save what the user asks for."""
        text = None if limits is None else _LIMITS.dump_json(limits).decode()
        await self.store.searches.ask(self.search_id, wanted=wanted, limits=text)


async def add_search(store: Store, record: SearchRecord) -> SavedSearch:
    """Save a new search."""
    limits = _LIMITS.dump_json(record.limits).decode()
    row = SearchRow(record.search_id, record.plan.folder, record.state, "run", limits, _body(record))
    await store.searches.add(row)
    return SavedSearch(store, record.search_id)


async def find_search(store: Store, id: str, folder: str) -> SavedSearch:
    """Return the search with this id or unique prefix; for "" the latest one of the folder. Raises UsageError."""
    if id:
        return SavedSearch(store, (await store.searches.get(id)).id)
    rows = await store.searches.list(folder)
    return SavedSearch(store, rows[0].id if rows else (await store.searches.get("")).id)


def as_json(record: SearchRecord) -> dict[str, Any]:
    """Return a search as JSON values."""
    values: dict[str, Any] = _RECORD.dump_python(record, mode="json")
    return values
