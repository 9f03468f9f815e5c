"""A search that is killed at random moments: no attempt may be lost, and none may be made twice.

    python -m bench.search_kills --folder FOLDER [--kills 25] [--attempts 150]

Each call adds kills to the search in the folder; with `--finish` it lets the search end and checks every attempt. The
task, the ideas and the scripted model are those of bench/search_night.py, without the idea that hangs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.search_night import IDEAS, NightOfAttempts
from ml_intern.search.record import SearchRecord
from ml_intern.search.tree import Attempt

NO_HANG: Final = 0
MAX_SECONDS: Final = 1_200.0
LONGEST_S: Final = 16.0
"""The longest time between a start and its kill; the shortest is 0. Starting takes about 2 s."""


def kill_often(night: NightOfAttempts, kills: int, chance: random.Random) -> int:
    """Start the search and kill it after a random time, again and again. Return how many kills hit it."""
    done = 0
    while done < kills:
        process = night.start()
        try:
            process.wait(chance.uniform(0.0, LONGEST_S))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
        else:
            raise RuntimeError(f"the search ended with exit code {process.returncode}, see {night.folder / 'output'}")
    return done


def finish(night: NightOfAttempts) -> int:
    """Let the search end. Return its exit code."""
    return night.start().wait(MAX_SECONDS)


def wrong(search: SearchRecord, work: Path) -> Iterator[str]:
    """Yield each attempt that was lost or made twice."""
    numbers = [one.number for one in search.tree.attempts]
    if numbers != list(range(len(numbers))) or search.tree.running:
        yield f"attempts {numbers}, {len(search.tree.running)} open"
    for one in search.tree.attempts[1:]:
        if one.kind != "combine":
            yield from _wrong_attempt(search, one, work)


def _wrong_attempt(search: SearchRecord, one: Attempt, work: Path) -> Iterator[str]:
    parent = next(before for before in list(search.tree.line(one.number))[1:] if before.commit)
    if not one.commit:
        yield f"{one.number} has no commit: {one.state}: {one.why}"
        return
    words = ["git", "diff", "--numstat", parent.commit, one.commit, "--", "ideas.txt"]
    added = subprocess.run(words, cwd=work, capture_output=True, text=True, check=True).stdout.split()[:2]
    if added != ["1", "0"]:
        yield f"{one.number} added {added} lines: {one.state}: {one.why}"


def main() -> int:
    """Kill the search, or let it end and check it; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--attempts", type=int, default=150)
    parser.add_argument("--parallel", type=int, default=3)
    parser.add_argument("--finish", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    place = given.folder / "kills.json"
    before = json.loads(place.read_text()) if place.exists() else {"kills": 0, "seconds": 0.0}
    night = NightOfAttempts(given.folder.resolve(), given.attempts, given.parallel, NO_HANG)
    if not night.work.exists():
        night.prepare()
    began = time.monotonic()
    kills = before["kills"] + kill_often(night, given.kills, random.Random(before["kills"]))
    code = finish(night) if given.finish else None
    seconds = round(before["seconds"] + time.monotonic() - began)
    place.write_text(json.dumps({"kills": kills, "seconds": seconds}))
    search = night.search()
    figures: dict[str, Any] = {"kills": kills, "seconds": seconds, "load": os.getloadavg()}
    if search is not None:
        ended = [one for one in search.tree.attempts[1:] if not one.open]
        figures |= {"attempts ended": len(ended), "tries": sum(one.tries for one in search.tree.attempts)}
    if given.finish:
        problems = list(wrong(search, night.work)) if search else ["there is no search"]
        states = Counter(one.state for one in search.tree.attempts[1:]) if search else {}
        figures |= {"exit code": code, "states": states, "ideas": len(IDEAS), "lost or made twice": problems}
    print(json.dumps(figures, indent=2))
    return 1 if figures.get("lost or made twice") else 0


if __name__ == "__main__":
    sys.exit(main())
