"""How long the event loop stands still while 30 tools read at the same time, against fakes in a process of their own.

    python -m bench.heartbeat [--rounds N]

A task ticks every 5 ms. What is printed is by how much ticks were late, at rest and during the reads; the aim is under
50 ms. The first rounds import what they need from bytecode, as every run of the program but the very first does: an
earlier process, which prints nothing, leaves it behind. On a busy machine the clock tells of others too: hence the CPU
time that the loop's own thread took meanwhile.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READS = 30
TICK = 0.005
AIM_MS = 50.0
SECTION = "Words about training, rates and batches that make a page as long as real ones are. " * 30
LONG_PAGE = "# Page\n\n" + "\n\n".join(f"## Part {n}\n\n{SECTION}" for n in range(30))


def serve() -> None:
    """Start the fakes, print where they are, wait for the end of stdin."""
    from tests.fakes.github import GitHub
    from tests.fakes.hub import FakeHub
    from tests.fakes.scholar import Arxiv, Scholar
    from tests.fakes.website import Website

    with ExitStack() as stack:
        site, arxiv = stack.enter_context(Website()), stack.enter_context(Arxiv())
        scholar, github = stack.enter_context(Scholar()), stack.enter_context(GitHub())
        hub = stack.enter_context(FakeHub())
        hub.docs |= {f"/docs/trl/page{n}": LONG_PAGE for n in range(40)}
        hub.papers["2106.09685"] = {"id": "2106.09685", "title": "LoRA", "markdown": LONG_PAGE}
        hub.add("datasets", "ada/data", {"README.md": "# Data"})
        hub.add_dataset("ada/data", {"train": [{"text": SECTION, "label": n % 3} for n in range(300)]})
        hub.add("models", "ada/model", {f"part{n}/log.txt": SECTION * 200 for n in range(500)})
        github.files["o/r"] = {f"examples/train_{n}.py": b"import torch\n" * 2000 for n in range(40)}
        where = {"site": site.url, "arxiv": arxiv.url, "scholar": scholar.url, "github": github.url, "hub": hub.url}
        print(json.dumps(where), flush=True)
        sys.stdin.read()


@contextmanager
def fakes() -> Iterator[Mapping[str, str]]:
    """The addresses of the fakes, which run in another process."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.heartbeat", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def calls(site: str) -> list[tuple[str, dict[str, Any]]]:
    """Thirty reads of every kind; the numbers keep the caches out of it."""
    found: list[tuple[str, dict[str, Any]]] = []
    found += [("web_read", {"url": f"{site}/long?{n}"}) for n in range(6)]
    found += [("web_read", {"url": f"{site}/paper.pdf?{n}"}) for n in range(2)]
    found += [("web_read", {"url": f"{site}/bomb?{n}"}) for n in range(2)]
    found += [("docs_read", {"page": f"trl/page{n}"}) for n in range(5)]
    found += [("docs_search", {"query": f"training rates {n}", "product": "trl"}) for n in range(3)]
    found += [("papers", {"operation": "read", "paper": "2106.09685"})] * 3
    found += [("papers", {"operation": "read", "paper": "2401.00001"})]
    found += [
        ("github", {"operation": "read", "repository": "o/r", "path": f"examples/train_{n}.py"}) for n in range(4)
    ]
    found += [("github", {"operation": "examples", "repository": "o/r"})]
    found += [("hub_search", {"query": "data", "kind": "datasets"})] * 3
    return found


def hub_calls() -> list[tuple[str, dict[str, Any]]]:
    """Thirty reads of the Hub: repositories, files, datasets, SQL."""
    found: list[tuple[str, dict[str, Any]]] = []
    found += [("hub_repos", {"operation": "read", "repo": "ada/model", "path": f"part{n}/log.txt"}) for n in range(8)]
    found += [("hub_repos", {"operation": "list", "repo": "ada/model", "recursive": True, "limit": 1000})] * 4
    found += [("hub_repos", {"operation": "info", "repo": "ada/model"})] * 3
    found += [("datasets", {"operation": "inspect", "dataset": "ada/data"})] * 5
    found += [("datasets", {"operation": "rows", "dataset": "ada/data", "limit": 100, "offset": n}) for n in range(5)]
    found += [("datasets", {"operation": "sql", "dataset": "ada/data", "sql": "SELECT count(*) FROM train"})] * 2
    found += [("hub_search", {"kind": "models", "query": "model"})] * 3
    return found


@dataclass
class Heart:
    """Ticks, and remembers by how much each tick was late, and how long the thread itself ran, in milliseconds."""

    late: list[float] = field(default_factory=list[float])
    own: list[float] = field(default_factory=list[float])

    async def beat(self) -> None:
        """Tick until cancelled."""
        while True:
            began, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK)
            self.late.append((time.perf_counter() - began - TICK) * 1000)
            self.own.append((time.thread_time() - used) * 1000)

    async def during(self, work: Awaitable[object]) -> float:
        """Tick until the work is done; the seconds it took."""
        began, beat = time.perf_counter(), asyncio.create_task(self.beat())
        await work
        beat.cancel()
        return time.perf_counter() - began

    def line(self, what: str) -> str:
        """The figures in words."""
        ordered = sorted(self.late)
        longest, most, median = ordered[-1], ordered[len(ordered) * 99 // 100], ordered[len(ordered) // 2]
        figures = f"longest {longest:6.1f}, 99 % {most:5.1f}, median {median:.2f}"
        return f"{what:36} late by, ms: {figures}; most CPU of the loop between two ticks {max(self.own):5.1f}"


def tune_interpreter() -> None:
    """The settings of ml_intern/__main__.py."""
    gc.set_threshold(50_000)
    sys.setswitchinterval(0.001)


async def measure(home: Path, where: Mapping[str, str], rounds: int) -> None:
    """Print the figures at rest and of each round of reads."""
    from ml_intern.execution.call import ToolCall
    from ml_intern.execution.calls import silent
    from ml_intern.execution.policy_inputs import settings_rules
    from ml_intern.execution.run import run_call
    from ml_intern.execution.tool import Services, ToolContext
    from ml_intern.graph.context import RunOptions
    from ml_intern.models.gateway import Models
    from ml_intern.store.store import Store
    from ml_intern.tools.registry import create_builtin_tools

    host = where["site"].partition("://")[2]
    urls = {"arxiv": where["arxiv"], "semantic_scholar": where["scholar"], "dataset_viewer": f"{where['hub']}/viewer"}
    options = RunOptions("none", str(home), approval_mode="auto", hosts=urls, private_hosts=(host,))
    async with await Store.open(home / "data") as store:
        services = Services(Models(store.ledger), create_builtin_tools(), store, options)
        context = ToolContext("t", "t", home, options, services, silent)

        async def read(number: int, name: str, args: dict[str, Any]) -> bool:
            result = await run_call(ToolCall(name, args, f"c{number}", f"m{number}", 0), context)
            return result.ok or "/bomb" in str(args)

        async def reads(turn: int) -> None:
            kind = calls(where["site"]) if turn % 2 == 0 else hub_calls()
            wanted = enumerate(kind[:READS], start=turn * READS)
            done = await asyncio.gather(*(read(number, name, args) for number, (name, args) in wanted))
            assert len(done) == READS
            assert all(done), "a read failed"

        tune_interpreter()
        settings_rules({})  # a run reads its rules before its first call
        rest = Heart()
        await rest.during(asyncio.sleep(1))
        print(rest.line("at rest"))
        for turn in range(rounds):
            heart = Heart()
            seconds = await heart.during(reads(turn))
            what = "of all kinds" if turn % 2 == 0 else "of the Hub"
            first = "(imports included)" if turn < 2 else ""
            print(heart.line(f"{READS} reads {what} in {seconds:.1f} s"), first, flush=True)
    print(f"the aim is under {AIM_MS:.0f} ms; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--compiled", action="store_true", help="the bytecode is there already")
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    if not given.compiled:
        again = [sys.executable, "-m", "bench.heartbeat", "--compiled"]
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run([*again, "--rounds", "2"], check=True, stdout=subprocess.DEVNULL)
        os.execv(again[0], [*again, "--rounds", str(given.rounds)])
    with fakes() as where, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ML_INTERN_HOME": f"{folder}/data", "HF_HOME": f"{folder}/hf", "HF_ENDPOINT": where["hub"]}
        os.environ["GITHUB_API_URL"] = where["github"]
        asyncio.run(measure(Path(folder), where, given.rounds))


if __name__ == "__main__":
    main()
