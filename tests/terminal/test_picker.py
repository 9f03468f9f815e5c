"""The list of threads to choose from."""

import time
from typing import Any

from ml_intern.store.threads import ThreadRow
from ml_intern.terminal.picker import thread_items
from ml_intern.terminal.render.summary import age


def row(id: str, **fields: Any) -> ThreadRow:
    about: dict[str, Any] = {
        "title": "train it", "folder": "/work", "parent": None, "forked_at": None, "created": 0.0,
        "updated": time.time(), "state": "idle", "turns": 1, "cost_usd": 0.0, "unpriced_requests": 0, "redo": (),
    }  # fmt: skip
    return ThreadRow(**{"id": id, **about, **fields})


def two_rows() -> list[ThreadRow]:
    return [
        row("first", state="waiting", turns=12, cost_usd=1.25, updated=time.time() - 3 * 3600, folder="/work/a"),
        row("second", title="\x1b[31mred", state="interrupted", updated=time.time() - 2 * 86_400),
    ]


def test_each_item_tells_title_age_state_turns_cost_size_and_folder() -> None:
    items = thread_items(two_rows(), {"first": 3 * 1024 * 1024})
    assert [(item.text, item.about) for item in items] == [
        ("train it", "3 h  waiting  12 turns  $1.25  3.0 MiB  /work/a"),
        ("\x1b[31mred", "2 d  interrupted  1 turn  $0.00  0 B  /work"),
    ]


def test_ages_are_short() -> None:
    assert [age(seconds) for seconds in (5, 90, 7_000, 100_000)] == ["now", "2 min", "2 h", "1 d"]
