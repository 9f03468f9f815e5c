"""A long turn adds little to the disk: under two and a half times what its tools gave, whatever they gave."""

import base64
import random
from pathlib import Path

import pytest

from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.graph.operations import UserInput
from ml_intern.store.store import Store
from tests.session.conftest import Lab, data, turn

ITERATIONS = 300


class NoiseArgs(ToolArgs):
    """Which noise to make."""

    seed: int
    size: int


@tool(read_only=True)
async def noise(args: NoiseArgs, context: ToolContext) -> str:
    """Give text that does not compress well and is never the same."""
    return base64.b85encode(random.Random(args.seed).randbytes(args.size))[: args.size].decode()


@pytest.mark.parametrize("size", [2_048, 8_192])
async def test_a_thread_of_300_iterations_is_less_than_two_and_a_half_times_its_payload(lab: Lab, size: int) -> None:
    calls = [{"tool_calls": [{"name": "noise", "args": {"seed": n, "size": size}}]} for n in range(ITERATIONS)]
    lab = Lab(lab.home, lab.workspace, {**lab.tools, "noise": noise})
    async with lab.session(lab.script(*calls, {"text": "done"}), max_iterations=-1) as session:
        events = await turn(session, UserInput("make noise"))
        assert data(events, "turn_complete")[0]["iterations"] == ITERATIONS + 1
    await (await Store.open(lab.home.parent / "empty")).close()
    assert size_of(lab.home) - size_of(lab.home.parent / "empty") < 2.5 * ITERATIONS * size


def size_of(home: Path) -> int:
    """The size of a database with its further files, in bytes."""
    return sum(path.stat().st_size for path in home.glob("*.db*"))
