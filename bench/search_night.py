"""A whole night of a search in minutes: 60 attempts, three at a time, two SIGKILLs, one full disk.

    python -m bench.search_night [--attempts 60] [--kills 2] [--output FOLDER]

The model is scripted: each attempt runs propose.py of the task, which chooses an idea by the number of the attempt. The
ideas are better, without effect, worse, cheating, crashing or hanging, so that the right state of each attempt is
known. The disk is a tmpfs that is filled and emptied again; without the right to mount one it is left out. The report
of the search is written to the output folder, to be read.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ml_intern.search.listing import all_searches
from ml_intern.search.record import SearchRecord
from ml_intern.search.report import report_of
from ml_intern.search.tree import Attempt

IDEAS: Final = ("a", "none", "worse", "b", "cheat", "none", "crash", "none", "c", "worse", "none", "none")
EXPECTED: Final = {"a": "accepted", "b": "accepted", "c": "accepted", "cheat": "refused", "crash": "crashed"}
EFFECTS: Final = {"a": 0.02, "b": 0.015, "c": 0.012, "worse": -0.02}
HANGS: Final = 12
"""The number of the attempt that hangs."""
EVALUATE: Final = f"""import random, sys, time
ideas = open("ideas.txt").read().split()
assert "crash" not in ideas
time.sleep(600 if "hang" in ideas else 0)
effects = {EFFECTS!r}
value = 0.7 + sum(effects.get(one, 0) for one in ideas)
print("accuracy", value + random.Random(" ".join([*ideas, *sys.argv])).gauss(0, 0.002))
"""
PROPOSE: Final = """import os, re
number = int(re.findall("[0-9]+", os.getcwd())[-1])
ideas, have = IDEAS, open("ideas.txt").read().split()
idea = "hang" if number == HANGS else ideas[(number - 1) % len(ideas)]
name = idea if idea not in have and idea != "none" else "none%d" % number
print("I add", name)
if idea == "cheat":
    open("data/easier.csv", "w").write("easier")
with open("ideas.txt", "a") as file:
    file.write(name + "\\n")
"""
TURN: Final = (
    {"tool_calls": [{"name": "bash", "args": {"command": "python3 propose.py"}}]},
    {"text": "Idea: ${result:I add .*|^.*}\nDone."},
)
SCRIPT: Final = TURN * 30
"""An attempt that was cut off and changed nothing is asked again."""
DISK_BYTES: Final = 192_000_000
MAX_STARTS: Final = 20
MAX_SECONDS: Final = 3_600.0


class NightOfAttempts:
    """One search and what happened to it."""

    def __init__(self, folder: Path, attempts: int, parallel: int, hangs: int = HANGS) -> None:
        self.folder, self.attempts, self.parallel, self.hangs = folder, attempts, parallel, hangs
        self.work, self.home = folder / "work", folder / "home"
        self.starts, self.events = 0, Counter[str]()
        self.environment = {**os.environ, "ML_INTERN_HOME": str(self.home)}
        os.environ["ML_INTERN_HOME"] = str(self.home)

    def prepare(self) -> None:
        """Write the task and commit it."""
        (self.work / "data").mkdir(parents=True)
        propose = PROPOSE.replace("IDEAS", repr(IDEAS)).replace("HANGS", str(self.hangs))
        files = {"eval.py": EVALUATE, "propose.py": propose, "ideas.txt": "", "data/test.csv": "test\n"}
        for name, text in files.items():
            (self.work / name).write_text(text)
        self.write_script()
        commit_all(self.work)

    def write_script(self) -> None:
        """Write the replies of the model."""
        (self.folder / "script.yaml").write_text(json.dumps(SCRIPT))

    def words(self) -> Sequence[str]:
        """Return the command of the search, without its model."""
        return (
            "improve", "a night", "--metric", "max accuracy", "--eval", "python3 eval.py {seed}", "--lock", "data/*",
            "--attempts", str(self.attempts), "--parallel", str(self.parallel), "--attempt-timeout", "90s",
        )  # fmt: skip

    def git(self, *words: str) -> str:
        """Return the output of git in the working folder."""
        return subprocess.run(["git", *words], cwd=self.work, capture_output=True, text=True, check=True).stdout

    def start(self) -> subprocess.Popen[bytes]:
        """Start the search, or continue it."""
        self.starts += 1
        words = (*self.words(), "-m", f"scripted:{self.folder / 'script.yaml'}")
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "ml_intern", *words], cwd=self.work, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def ended(self) -> int:
        """Return how many attempts have ended."""
        found = self.search()
        return sum(not one.open for one in found.tree.attempts[1:]) if found else 0

    def search(self) -> SearchRecord | None:
        """Return the search as it is saved; None before it is."""
        found = asyncio.run(all_searches()) if self.home.exists() else []
        return found[0] if found else None

    def play(self, plan: dict[int, str]) -> None:
        """Run the search to its end. At each number of ended attempts in `plan`, kill it or fill the disk."""
        waiting, until = sorted(plan.items()), time.monotonic() + MAX_SECONDS
        while self.starts < MAX_STARTS and time.monotonic() < until:
            process = self.start()
            while process.poll() is None and time.monotonic() < until:
                if waiting and self.ended() >= waiting[0][0]:
                    self._happens(waiting.pop(0)[1], process)
                time.sleep(0.3)
            (self.folder / "filler").unlink(missing_ok=True)
            found = self.search()
            if process.returncode == 0 and found is not None and found.state == "finished":
                return
            self.events[f"exit {process.returncode}"] += 1

    def _happens(self, event: str, process: subprocess.Popen[bytes]) -> None:
        self.events[event] += 1
        if event == "kill":
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        try:
            with (self.folder / "filler").open("wb") as filler:
                while True:
                    filler.write(b"0" * 65_536)
        except OSError:
            process.wait(MAX_SECONDS)


def commit_all(folder: Path) -> None:
    """Make a repository of a folder, and commit its files."""
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
        subprocess.run(["git", "-c", "user.name=u", "-c", "user.email=u@localhost", *words], cwd=folder, check=True)


def wrong(search: SearchRecord, work: Path) -> Iterator[str]:
    """Yield what differs from a right night."""
    tree = search.tree
    if [one.number for one in tree.attempts] != list(range((search.limits.attempts or 0) + 1)):
        yield f"attempts {[one.number for one in tree.attempts]}"
    for one in tree.attempts[1:]:
        yield from _wrong_attempt(search, one, work)
    best = tree.best
    enough = len(tree.attempts) > 2 * len(IDEAS)
    if enough and (best is None or best.score is None or abs(best.score.mean - 0.747) > 0.004):
        yield f"the best metric is {best and best.score}"
    if search.conclusion is None or search.conclusion.winner is None:
        yield "there is no winner"


def _wrong_attempt(search: SearchRecord, one: Attempt, work: Path) -> Iterator[str]:
    """Yield what is wrong with an attempt: its state, or work that was done twice."""
    if one.why == "it changed nothing" or one.why.startswith("git "):
        yield f"{one.number} was lost: {one.why}"
    idea = "hang" if one.number == HANGS else IDEAS[(one.number - 1) % len(IDEAS)]
    state = EXPECTED.get(idea, "discarded")
    if one.open or (one.kind == "improve" and state != "accepted" and one.state not in (state, "crashed")):
        yield f"{one.number} ({idea}) is {one.state}: {one.why}"
    if one.commit and one.kind != "combine":
        parent = next(before for before in list(search.tree.line(one.number))[1:] if before.commit)
        words = ["git", "log", "--format=%s", f"{parent.commit}..{one.commit}"]
        done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=True).stdout.splitlines()
        if len(done) > 1:
            yield f"{one.number} has {len(done)} commits after {parent.number}: {done}"


@contextmanager
def disk(*, wanted: bool) -> Iterator[tuple[Path, bool]]:
    """Yield a folder, and whether it is a disk that can be filled."""
    with TemporaryDirectory(prefix="ml-intern-search-", ignore_cleanup_errors=True) as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", name]
        mounted = wanted and os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
        try:
            yield Path(name), mounted
        finally:
            if mounted:
                subprocess.run(["umount", "-l", name], check=False)


def events(given: argparse.Namespace, *, disk_can_fill: bool) -> dict[int, str]:
    """Return the numbers of ended attempts at which something happens."""
    chance = random.Random(given.seed)
    kills = chance.sample(range(1, given.attempts - 1), given.kills)
    full = {given.attempts // 2: "full disk"} if disk_can_fill else {}
    return {**dict.fromkeys(kills, "kill"), **full}


def main() -> int:
    """Play the night and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=60)
    parser.add_argument("--parallel", type=int, default=3)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-full-disk", action="store_true")
    parser.add_argument("--output", type=Path, help="folder for the report and the output of the program")
    given = parser.parse_args()
    began = time.monotonic()
    with disk(wanted=not given.no_full_disk) as (folder, can_fill):
        night = NightOfAttempts(folder, given.attempts, given.parallel)
        night.prepare()
        night.play(events(given, disk_can_fill=can_fill))
        search = night.search()
        problems = list(wrong(search, night.work)) if search else ["there is no search"]
        if given.output and search:
            given.output.mkdir(parents=True, exist_ok=True)
            (given.output / "report.md").write_text(report_of(search).markdown(), encoding="utf-8")
            (given.output / "report.html").write_text(report_of(search).html(), encoding="utf-8")
            shutil.copy(folder / "output", given.output / "output.txt")
    figures: dict[str, Any] = {
        "attempts": len(search.tree.attempts) - 1 if search else 0,
        "states": Counter(one.state for one in search.tree.attempts[1:]) if search else {},
        "starts": night.starts,
        "events": night.events,
        "tries": sum(one.tries for one in search.tree.attempts[1:]) if search else 0,
        "seconds": round(time.monotonic() - began),
        "wrong": problems,
    }
    print(json.dumps(figures, indent=2))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
