"""How an iteration grows with the conversation: at iteration 3,000 in proportion to iteration 10.

From each figure is subtracted what plain httpx takes to encode and post a JSON of the same size.
Run: `uv run python -m bench.growth`
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from bench.overhead import HEADLESS, PROGRAM, at, checked, environment, overheads
from bench.process import Records, bash_alone, model_server, records, run
from bench.server import command

EARLY = 10
CONTENT = 2000
TIMES = 21


def played(iterations: int) -> Records:
    """What the server saw of one run."""
    with tempfile.TemporaryDirectory() as folder, model_server(iterations) as base:
        home, work, log = Path(folder, "home"), Path(folder, "work"), Path(folder, "log")
        work.mkdir()
        model = (
            "-m",
            "bench",
            "--base-url",
            f"{base}/v1",
            "--no-sandbox",
            "--max-budget-usd",
            "-1",
            "--set",
            "compact_threshold=100000000",
        )
        used = run([PROGRAM, *HEADLESS, *model, "Go through the steps."], work, environment(base, home), log)
        seen = records(base)
        checked(used, seen, iterations, log)
        return seen


async def plain_ms(size: int) -> float:
    """Median milliseconds of plain httpx for a request of this many bytes and its reply."""
    body = {"model": "bench", "messages": [{"role": "user", "content": "x" * CONTENT}] * max(1, size // (CONTENT + 30))}
    with model_server(TIMES) as base:
        async with httpx.AsyncClient(trust_env=False) as client:
            times = []
            for _ in range(TIMES):
                began = time.perf_counter()
                await client.post(f"{base}/v1/chat/completions", json=body)
                times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    """Measure and print a line for each of the two iterations, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=3000)
    asked = parser.parse_args()
    seen = played(asked.iterations)
    figures = overheads(seen, bash_alone(command(7)))
    own = []
    for iteration in (EARLY, len(figures)):
        size, whole = seen.sizes[min(iteration, len(seen.sizes) - 1)], at(figures, iteration)
        plain = asyncio.run(plain_ms(size))
        own.append(whole - plain)
        print(f"iteration {iteration}: {whole:.1f} ms, plain httpx for its {size:,} bytes {plain:.1f} ms")
    print(f"ratio {own[1] / own[0]:.2f} (allowed 1.5), load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
