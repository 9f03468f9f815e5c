"""What is made in a thread is closed when nobody is left to take it."""

import asyncio
import threading
from pathlib import Path

import pytest

from ml_intern.execution.sandboxed import opened_in_thread


async def test_cancelled_while_it_is_made_it_is_closed() -> None:
    may_end, closed = threading.Event(), list[str]()

    def make() -> str:
        may_end.wait()
        return "made"

    waiting = asyncio.create_task(opened_in_thread(make, closed.append))
    await asyncio.sleep(0)
    waiting.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert closed == ["made"]


async def test_taken_it_stays_open_and_what_cannot_be_made_is_told() -> None:
    closed = list[str]()
    assert await opened_in_thread(lambda: "made", closed.append) == "made"
    with pytest.raises(FileNotFoundError):
        await opened_in_thread(lambda: Path("/none").read_text(), closed.append)
    assert closed == []
