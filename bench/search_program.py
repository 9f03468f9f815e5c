"""Searches by the whole program on the real tasks of search_tasks.py, with every kind of idea: cheats and hangs, too.

    python -m bench.search_program --environment FOLDER [--tasks digits wine] [--attempts 14]

FOLDER is a virtual environment with scikit-learn and torch. The model is scripted: each attempt runs propose.py, which
adds the idea of its number, or repairs what its parent broke. A repair takes the turn of an idea; since the second
round of the ideas is the first one reversed, this is another idea then. Evaluations train in the sandbox. Prints the
state of each attempt and what is wrong.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.search_night import NightOfAttempts, commit_all
from bench.search_tasks import CHILD, HELPFUL, OTHERS
from ml_intern.search.record import SearchRecord

TASK_ATTEMPTS: Final = 18
TIMEOUT: Final = "60s"
EVALUATE_TASK: Final = """
from pathlib import Path
ideas = {path.name for path in Path("ideas").iterdir()} - {"start"}
if "repair" not in ideas and "crash" in ideas:
    raise SystemExit("it crashes")
if "repair" not in ideas and "hang" in ideas:
    import time
    time.sleep(3_600)
shift = 500_000 if "lucky seed" in ideas else 0
seed = int(sys.argv[1])
print("metric", float(np.mean([TASKS["NAME"](ideas, 2 * seed + part + shift) for part in range(2)])))
"""
PROPOSE_IDEA: Final = """import os, re
from pathlib import Path
number = int(re.findall("[0-9]+", os.getcwd())[-1])
have = {path.name for path in Path("ideas").iterdir()}
broken = have & {"crash", "hang"} and "repair" not in have
idea = "repair" if broken else IDEAS[(number - 1) % len(IDEAS)]
print("I add", idea)
if idea == "cheat":
    Path("eval.py").unlink(missing_ok=True)
    Path("data/labels.csv").write_text("easier")
Path("ideas", idea if idea not in have else f"again {number}").touch()
"""


class TaskSearch(NightOfAttempts):
    """One search of a real task by the program."""

    def __init__(self, folder: Path, task: str, environment: Path, attempts: int, seed: int) -> None:
        super().__init__(folder, attempts, 1)
        self.task, self.python = task, environment
        ideas = [*HELPFUL[task], *OTHERS, "cheat", "hang"]
        Random(seed).shuffle(ideas)
        self.ideas = [*ideas, *reversed(ideas)]

    def prepare(self) -> None:
        """Write the task, and link the environment."""
        child = CHILD.partition("for line in sys.stdin:")[0] + EVALUATE_TASK.replace("NAME", self.task)
        files = {
            "eval.py": child, "propose.py": PROPOSE_IDEA.replace("IDEAS", repr(self.ideas)), "ideas/start": "",
            "data/labels.csv": "labels\n", ".gitignore": ".venv\n",
        }  # fmt: skip
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)
        (self.work / ".venv").symlink_to(self.python.resolve())
        self.write_script()
        commit_all(self.work)

    def words(self) -> Sequence[str]:
        """Return the command of the search."""
        return (
            "improve", "one idea at a time", "--metric", "max metric", "--eval", ".venv/bin/python eval.py {seed}",
            "--lock", "data/*", "--attempts", str(self.attempts), "--attempt-timeout", TIMEOUT,
        )  # fmt: skip

    def content(self, search: SearchRecord, number: int) -> set[str]:
        """Return the ideas that an attempt has."""
        commit = search.tree[number].commit
        return set(self.git("ls-tree", "--name-only", "-r", "-z", commit, "ideas/").replace("ideas/", "").split("\0"))

    def wrong(self, search: SearchRecord) -> Iterator[str]:
        """Yield what differs from a right search."""
        bad = {"cheat", "worse", "lucky seed", "no effect"}
        for one in search.tree.accepted[1:]:
            added = self.content(search, one.number) - self.content(search, one.parents[0])
            if not added & {*HELPFUL[self.task]} or added & bad:
                yield f"{one.number} was accepted with {sorted(added)}"
        tried = {word for one in search.tree.attempts[1:] for word in self.ideas if one.idea.endswith(word)}
        if missed := {"cheat", "crash", "hang"} - tried:
            yield f"no attempt has the idea {sorted(missed)}"
        winner = search.conclusion.winner if search.conclusion else None
        if winner is None or not self.content(search, winner) >= {*HELPFUL[self.task]}:
            yield f"the winner {winner} is not the best combination"


def searched(task: str, given: argparse.Namespace) -> Mapping[str, Any]:
    """Return the figures of one search."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="ml-intern-task-", ignore_cleanup_errors=True) as name:
        search = TaskSearch(Path(name), task, given.environment, given.attempts, given.seed)
        search.prepare()
        search.play({})
        found = search.search()
        if found is None:
            return {"wrong": [(Path(name) / "output").read_text()[-500:]]}
        attempts = [f"{one.number} {one.kind} {one.parents} {one.idea}: {one.state}" for one in found.tree.attempts[1:]]
        wrong = list(search.wrong(found))
    load = os.getloadavg()[0]
    return {"attempts": attempts, "wrong": wrong, "seconds": round(time.monotonic() - began), "load": load}


def main() -> int:
    """Search, and print the figures of each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, required=True, help="a virtual environment")
    parser.add_argument("--tasks", nargs="*", choices=[*HELPFUL], default=[*HELPFUL])
    parser.add_argument("--attempts", type=int, default=TASK_ATTEMPTS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    problems = 0
    for task in given.tasks:
        figures = searched(task, given)
        problems += len(figures["wrong"])
        print(json.dumps({task: figures}, indent=2), flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
