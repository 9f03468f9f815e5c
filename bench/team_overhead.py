"""What an iteration costs on PostgreSQL beside the model and the command, and beside a bare graph in the same run.

Both are played in turns: ml-intern with its threads in a database, and a graph with AsyncPostgresSaver (bench/bare.py),
which writes checkpoints before the next step (sync, as ml-intern does) or beside it (async).
Run: `uv run python -m bench.team_overhead [--iterations 100] [--rounds 3]`
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.overhead import HEADLESS, LITELLM_MODEL, PROGRAM, checked, environment, overheads
from bench.process import HERE, bash_alone, model_server, records, run
from bench.server import command
from ml_intern.configs.paths import DATABASE_VARIABLE
from tests.fakes.postgres import running_server


def played(words: Sequence[str], iterations: int, database: str, alone: float) -> list[float]:
    """Play the iterations with a program, and return the milliseconds of each beside the model and the command."""
    with tempfile.TemporaryDirectory() as folder, model_server(iterations) as base:
        home, work, log = Path(folder, "home"), Path(folder, "work"), Path(folder, "log")
        work.mkdir()
        arguments = [word.format(base=base, database=database) for word in words]
        used = run(arguments, work, {**environment(base, home), DATABASE_VARIABLE: database}, log)
        seen = records(base)
        checked(used, seen, iterations, log)
        return overheads(seen, alone)


def main() -> None:
    """Measure in turns, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    own = [PROGRAM, *HEADLESS, "-m", "bench", "--base-url", "{base}/v1", "--no-sandbox", "Go through the steps."]
    bare = [sys.executable, str(HERE / "bare.py"), LITELLM_MODEL, "{database}"]
    programs = {"ml-intern": own, "bare graph, sync": [*bare, "sync"], "bare graph, async": [*bare, "async"]}
    found: dict[str, list[float]] = {name: [] for name in programs}
    alone = bash_alone(command(7))
    with running_server() as server:
        for _ in range(asked.rounds):
            for name, words in programs.items():
                found[name] += played(words, asked.iterations, server.new_database(), alone)
    medians = {name: round(statistics.median(figures), 1) for name, figures in found.items()}
    ratios = {f"to the {name}": round(medians["ml-intern"] / medians[name], 2) for name in medians if "bare" in name}
    print(json.dumps({"iteration_ms": medians, "ratio": ratios, "load": round(os.getloadavg()[0], 1)}, indent=2))


if __name__ == "__main__":
    main()
