"""How long a background run takes to start, how soon its end wakes the model, and what is asked meanwhile.

Run as `python -m bench.runs [COUNT]`.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.models.gateway import Models
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools

SLEEP = 1.0
RUN = {"tool_calls": [{"name": "bash", "args": {"command": f"sleep {SLEEP}", "background": True}}]}


async def measure(folder: Path, model: str) -> dict[str, float]:
    """One run from the call to the request that its end caused. Seconds, and requests while it went on."""
    marks: dict[str, float] = {}
    async with await Store.open(folder / "home") as store:
        models = Models(store.ledger)
        options = RunOptions(model=model, workspace=str(folder), approval_mode="auto")
        session = await AgentSession.open(store, models, create_builtin_tools(), options)
        await session.submit(UserInput("go"))
        async for event in session.events():
            now = time.time()
            if event.type == "tool_output":
                marks["launch"] = event.data["seconds"]
            elif event.type == "turn_complete" and "asked" in marks:
                break
            elif event.type == "turn_complete":
                marks["asked"] = float((await session.totals()).requests)
            elif event.type == "processing" and "asked" in marks:
                [row] = await store.runs.list()
                marks["wake"] = now - (row.finished or now)
                marks["asked while waiting"] = (await session.totals()).requests - marks["asked"]
        await session.close()
        await models.close()
    return marks


def main(count: int) -> None:
    """Measure so many runs one after the other and print what came out."""
    found: dict[str, list[Any]] = {"launch": [], "wake": [], "asked while waiting": []}
    for _ in range(count):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            script = folder / "script.yaml"
            script.write_text(yaml.safe_dump([RUN, {"text": "waiting"}, {"text": "woken"}]))
            marks = asyncio.run(measure(folder, f"scripted:{script}"))
            for key, values in found.items():
                values.append(marks[key])
    for key in ("launch", "wake"):
        print(f"{key}: median {statistics.median(found[key]):.3f} s, most {max(found[key]):.3f} s, over {count} runs")
    print(f"model calls while waiting: {sum(found['asked while waiting']):.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
