"""How fast a search is: attempts side by side, its own overhead, showing 500 attempts, and its budget.

    python -m bench.search_speed [--write]

Real searches with a scripted model, in processes of their own. Figures are in bench/search_speed.json.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ml_intern.search.listing import all_searches
from ml_intern.search.plan import Objective
from ml_intern.search.record import SearchRecord
from ml_intern.search.scores import score_of
from ml_intern.search.tree import Attempt, SearchTree
from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.search import SearchView

RESULTS: Final = Path(__file__).with_name("search_speed.json")
EVALUATE: Final = """import sys, time
time.sleep(float(sys.argv[1]))
print("accuracy", 0.7)
"""
CHANGE: Final = "sleep {seconds}; basename $PWD > change.txt"
STEP_USD: Final = 0.025
BUDGET_USD: Final = 0.6


@dataclass(frozen=True)
class PlayedSearch:
    """A search that has ended."""

    record: SearchRecord
    seconds: float
    """How long its attempts took: without start, baseline and end."""
    cpu: float
    """CPU seconds of its own process, without commands and evaluations, which are processes of their own."""


class SmallSearch:
    """A search in a folder of its own, with a scripted model."""

    def __init__(self, folder: Path) -> None:
        self.work, self.home = folder / "work", folder / "home"
        self.script = folder / "script.yaml"
        self.work.mkdir(parents=True)
        (self.work / "eval.py").write_text(EVALUATE)
        git = ("git", "-c", "user.name=u", "-c", "user.email=u@localhost")
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
            subprocess.run([*git, *words], cwd=self.work, check=True)

    def run(self, sleep: float, evaluation: float, usd: float, options: Sequence[str]) -> PlayedSearch:
        """Run it to its end."""
        command = CHANGE.format(seconds=sleep)
        steps = [
            {"tool_calls": [{"name": "bash", "args": {"command": command}}], "usage": {"cost_usd": usd}},
            {"text": "Idea: another name", "usage": {"cost_usd": usd}},
        ]
        self.script.write_text(json.dumps(steps))
        words = [
            "improve", "--metric", "max accuracy", "--eval", f"python3 eval.py {evaluation}", "-m",
            f"scripted:{self.script}", *options,
        ]  # fmt: skip
        environment = {**os.environ, "ML_INTERN_HOME": str(self.home)}
        with (self.work.parent / "output").open("w+") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ml_intern", *words], cwd=self.work, env=environment, stdout=output,
                stderr=output,
            )  # fmt: skip
            cpu = cpu_until_end(process)
            output.seek(0)
            if process.returncode:
                raise RuntimeError(output.read())
        os.environ["ML_INTERN_HOME"] = str(self.home)
        record = asyncio.run(all_searches())[0]
        attempts = record.tree.attempts[1:]
        seconds = max(one.finished or 0.0 for one in attempts) - min(one.created for one in attempts)
        return PlayedSearch(record, seconds, cpu)


def cpu_until_end(process: "subprocess.Popen[bytes]") -> float:
    """Wait for a process. Return the CPU seconds of the process itself, without those of its children."""
    used = 0.0
    while process.poll() is None:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        used = max(used, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
        time.sleep(0.1)
    return used


def in_new_folder(sleep: float, evaluation: float, usd: float, *options: str) -> PlayedSearch:
    """Run a search in a folder that is removed afterwards."""
    with TemporaryDirectory(prefix="ml-intern-speed-") as name:
        return SmallSearch(Path(name)).run(sleep, evaluation, usd, options)


def side_by_side() -> Mapping[str, Any]:
    """Return how much faster four attempts at the same time are: each sleeps 10 s, and 3 s in its one evaluation."""
    one = in_new_folder(10, 3, 0, "--attempts", "4", "--parallel", "1").seconds
    four = in_new_folder(10, 3, 0, "--attempts", "4", "--parallel", "4").seconds
    return {"4 attempts, one at a time (s)": one, "four at a time (s)": four, "times as fast": one / four}


def overhead() -> Mapping[str, Any]:
    """Return what an attempt costs whose change and evaluations take no time, beyond a search of one attempt."""
    one, many = (in_new_folder(0, 0, 0, "--attempts", str(count)) for count in (1, 11))
    return {
        "seconds of an attempt with its command and one evaluation": many.seconds / 11,
        "CPU seconds of the search itself": (many.cpu - one.cpu) / 10,
    }


def budget() -> Mapping[str, Any]:
    """Return what searches with a priced model spend of their budget."""
    spent = [
        in_new_folder(0, 0, STEP_USD, "--budget", str(BUDGET_USD), "--parallel", parallel, *share).record.spent_usd
        for parallel, share in (("1", ()), ("4", ()), ("3", ("--attempt-usd", "0.2")))
    ]
    over = max(one for one in spent if one is not None) - BUDGET_USD
    return {"budget (USD)": BUDGET_USD, "spent (USD)": spent, "overshoot (USD)": max(over, 0.0)}


def shown() -> Mapping[str, Any]:
    """Return the seconds to show a tree of 500 attempts in the terminal."""
    score = score_of([0.69, 0.70, 0.71], range(3))
    attempts = [Attempt(0, "baseline", "accepted", score=score)]
    attempts += [
        Attempt(number, "improve", "accepted" if number % 9 == 0 else "discarded", (number // 9 * 8,), score=score)
        for number in range(1, 501)
    ]
    record = in_new_folder(0, 0, 0, "--attempts", "1").record
    tree = SearchTree(Objective("accuracy", maximize=True), tuple(attempts))
    began = time.perf_counter()
    SearchView(replace(record, tree=tree)).rows(160, 50, Theme("dark"))
    return {"seconds to show 500 attempts": time.perf_counter() - began}


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write the figures to {RESULTS.name}")
    given = parser.parse_args()
    figures = {
        **{name: measure() for name, measure in (("parallel", side_by_side), ("overhead", overhead))},
        **{name: measure() for name, measure in (("budget", budget), ("tree", shown))},
        "load": os.getloadavg(), "cores": os.cpu_count(),
    }  # fmt: skip
    text = json.dumps(figures, indent=2)
    print(text)
    if given.write:
        RESULTS.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
