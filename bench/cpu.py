"""Processor time of an iteration, also of other checkouts, in turns: it is steadier than wall time on a busy machine.

It is that of a long run less that of a short one, with the commands and their sandboxes.
Run: `uv run python -m bench.cpu` or, to compare, `uv run python -m bench.cpu OTHER/.venv/bin/ml-intern`
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from bench.overhead import HEADLESS, PROGRAM, checked, environment
from bench.process import model_server, records, run

SHORT = 20


def cpu_s(program: str, iterations: int, options: tuple[str, ...]) -> float:
    """Seconds of processor time of a run of so many iterations."""
    with tempfile.TemporaryDirectory() as folder, model_server(iterations) as base:
        home, work, log = Path(folder, "home"), Path(folder, "work"), Path(folder, "log")
        work.mkdir()
        model = ("-m", "bench", "--base-url", f"{base}/v1", *options)
        used = run([program, *HEADLESS, *model, "Go through the steps."], work, environment(base, home), log)
        checked(used, records(base), iterations, log)
        return used.cpu


def iteration_ms(program: str, iterations: int, options: tuple[str, ...]) -> float:
    """Milliseconds of processor time of one iteration."""
    took = cpu_s(program, SHORT + iterations, options) - cpu_s(program, SHORT, options)
    return 1000 * took / iterations


def main() -> None:
    """Measure in turns, and print a line for each program with and without the sandbox."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("others", nargs="*", help="programs of other checkouts")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cases = [(program, kind) for program in (PROGRAM, *asked.others) for kind in (("--no-sandbox",), ())]
    rounds = [[iteration_ms(program, asked.iterations, kind) for program, kind in cases] for _ in range(asked.rounds)]
    for (program, kind), found in zip(cases, zip(*rounds, strict=True), strict=True):
        place = "without the sandbox" if kind else "in the sandbox"
        print(f"{program}, {place}: {statistics.median(found):.1f} ms ({', '.join(f'{one:.1f}' for one in found)})")


if __name__ == "__main__":
    main()
