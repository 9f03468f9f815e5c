"""A search is read from the store as it was saved, and its process sees what the user asks for."""

from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.search.plan import Objective, SearchLimits, SearchPlan
from ml_intern.search.record import Conclusion, Contribution, Finalist, SearchRecord
from ml_intern.search.saved import add_search, find_search
from ml_intern.search.tree import Attempt, Score, SearchTree
from ml_intern.store.store import Store

PLAN = SearchPlan("/work", Objective("macro_f1", maximize=True), "python eval.py", locks=("eval.py",))
SCORE = Score((0.5, 0.75), (1, 2), 0.4, 0.8)


def record(id: str = "abcd1234") -> SearchRecord:
    return SearchRecord(id, PLAN, SearchLimits(10.0), SearchTree(PLAN.objective), "measuring", started=5.0)


async def test_a_search_is_read_as_it_was_saved(tmp_path: Path) -> None:
    attempts = (Attempt(0, "baseline", "accepted", score=SCORE), Attempt(1, "improve", "working", (0,), "deeper trees"))
    end = Conclusion(None, "no gain", (Finalist(1, SCORE),), (Contribution(1, None, "overlaps"),), SCORE)
    saved = replace(record(), state="paused", conclusion=end, spent_usd=None, tree=SearchTree(PLAN.objective, attempts))
    async with await Store.open(tmp_path) as store:
        search = await add_search(store, record())
        await search.save(saved)
        for attempt in attempts:
            await search.save_attempt(attempt)
    async with await Store.open(tmp_path) as store:
        assert await (await find_search(store, "abcd", "")).load() == saved


async def test_what_the_user_asks_stays_when_its_process_saves(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        search = await add_search(store, record())
        await search.ask("pause", SearchLimits(20.0, parallel=3))
        await search.save(replace(record(), state="running"))
        assert await search.asked() == ("pause", SearchLimits(20.0, parallel=3))
        assert (await search.load()).limits.parallel == 3


async def test_a_search_is_found_by_its_folder_or_a_unique_prefix(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        for id in ("abc1", "abd2"):
            await add_search(store, record(id))
        assert (await find_search(store, "", "/work")).search_id == "abd2"
        with pytest.raises(UsageError, match="several"):
            await find_search(store, "ab", "/work")
        with pytest.raises(UsageError, match="no search"):
            await find_search(store, "", "/elsewhere")
