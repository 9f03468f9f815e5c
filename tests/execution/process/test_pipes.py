"""Reading a pipe can be stopped at any moment, also before it began."""

import asyncio
import os

import pytest

from ml_intern.execution.process.pipes import PipeReader


@pytest.mark.parametrize("seconds", [None, 60.0])
async def test_a_pipe_that_was_stopped_before_anybody_waited_is_not_waited_for(seconds: float | None) -> None:
    reading, writing = os.pipe()
    pipe = PipeReader(reading)
    pipe.stop()
    async with asyncio.timeout(60):
        await pipe.wait(seconds)
    os.write(writing, b"rest")
    assert (pipe.read(), pipe.read()) == (b"rest", None)
    for _ in range(2):
        pipe.close()
    assert pipe.read() == b""
    os.close(writing)


async def test_a_waiting_reader_is_woken_by_output_the_end_and_a_stop() -> None:
    reading, writing = os.pipe()
    pipe = PipeReader(reading)
    async with asyncio.timeout(60):
        for act, found in ((lambda: os.write(writing, b"x"), b"x"), (lambda: os.close(writing), b"")):
            waiting = asyncio.create_task(pipe.wait(None))
            await asyncio.sleep(0)
            act()
            await waiting
            assert pipe.read() == found
    pipe.close()
