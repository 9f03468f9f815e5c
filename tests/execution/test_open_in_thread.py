"""`open_in_thread` closes its result when the caller was cancelled."""

import asyncio
import threading
from pathlib import Path

import pytest

from ml_intern.execution.sandboxed import open_in_thread


async def test_the_result_is_closed_when_the_caller_is_cancelled() -> None:
    may_end, closed = threading.Event(), list[str]()

    def make() -> str:
        may_end.wait()
        return "made"

    waiting = asyncio.create_task(open_in_thread(make, closed.append))
    await asyncio.sleep(0)
    waiting.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert closed == ["made"]


async def test_a_returned_result_stays_open_and_errors_are_raised() -> None:
    closed = list[str]()
    assert await open_in_thread(lambda: "made", closed.append) == "made"
    with pytest.raises(FileNotFoundError):
        await open_in_thread(lambda: Path("/none").read_text(), closed.append)
    assert closed == []
