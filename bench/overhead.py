"""What an iteration costs beside the model and the command: 300 iterations of a 2 KB command, answered at once.

Through the direct transports (--base-url, Anthropic), through litellm, a bare create_agent + ChatLiteLLM program beside
them, and other agents from npm (bench/peers.py). Prints a table, the ratios to the others and what became slower since
the last run, and writes bench/results.json with the figures of earlier runs.
Run: `uv run --group bench python -m bench.overhead`
"""

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import peers
from bench.process import HERE, Records, Usage, bash_alone, model_server, records, run
from bench.revision import revision
from bench.server import command
from ml_intern.sandbox.bubblewrap import sandbox_problem

PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
HEADLESS = ("-p", "--approval-mode", "yolo", "--max-iterations", "-1")
LITELLM_MODEL = "deepseek/deepseek-chat"
ANTHROPIC_MODEL = "anthropic/claude-sonnet-4-5"
YARDSTICK = "import langgraph.graph, langgraph.checkpoint.sqlite.aio"
"""Nothing built on LangGraph starts faster than this: it tells the machine's speed."""
AROUND = 5
"""Iteration i is read off as the median of i - 5 to i + 5."""


@dataclass(frozen=True)
class Row:
    """Figures of one agent; None was not measured."""

    agent: str
    overhead_ms: float | None = None
    at_10_ms: float | None = None
    at_300_ms: float | None = None
    growth: float | None = None
    first_request_s: float | None = None
    peak_mb: float | None = None
    store_kib: float | None = None
    resume_s: float | None = None


def environment(base: str, home: Path) -> dict[str, str]:
    """The caller's environment with every provider pointed at the server, and a home of its own."""
    given = {**os.environ, "ML_INTERN_HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    given |= {"LANGSMITH_TRACING": "false", "OPENAI_API_KEY": "bench", "DEEPSEEK_API_KEY": "bench"}
    given |= {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_API_BASE": base}
    return given | {"DEEPSEEK_API_BASE": f"{base}/v1"}


def overheads(seen: Records, alone: float) -> list[float]:
    """Milliseconds from the end of reply i to request i + 1, less the command's own time."""
    pairs = zip(seen.sent, seen.received[1:], strict=False)
    return [1000 * (received - sent - alone) for sent, received in pairs]


def at(figures: list[float], iteration: int) -> float:
    """The median around an iteration counted from 1."""
    low = max(0, iteration - 1 - AROUND)
    return statistics.median(figures[low : iteration + AROUND] or figures[-2 * AROUND :])


def row(agent: str, seen: Records, used: Usage, alone: float) -> Row:
    figures = overheads(seen, alone)
    early, late = at(figures, 10), at(figures, len(figures))
    return Row(
        agent, statistics.median(figures), early, late, late / early, seen.received[0] - used.started, used.peak_mb
    )


def store_kib(home: Path) -> float:
    """Size of the thread database with its journal files."""
    return sum(path.stat().st_size for path in home.rglob("*.db*") if path.is_file()) / 1024


def checked(used: Usage, seen: Records, iterations: int, log: Path) -> None:
    if used.code or len(seen.received) != iterations + 1:
        tail = log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"exit code {used.code} after {len(seen.received)} requests of {iterations + 1}:\n{tail}")


def agent(name: str, model: tuple[str, ...], iterations: int, alone: float) -> Row:
    """Play the iterations with ml-intern, then continue the thread in a new process."""
    with tempfile.TemporaryDirectory() as folder, model_server(iterations) as base:
        home, work, log = Path(folder, "home"), Path(folder, "work"), Path(folder, "log")
        work.mkdir()
        arguments = [PROGRAM, *HEADLESS, *(word.format(base=base) for word in model)]
        used = run([*arguments, "Go through the steps."], work, environment(base, home), log)
        seen = records(base)
        checked(used, seen, iterations, log)
        figures = replace(row(name, seen, used, alone), store_kib=store_kib(home))
        again = run([*arguments, "-c", "Go on."], work, environment(base, home), log)
        first = records(base).received[len(seen.received) :]
        if again.code or not first:
            raise SystemExit(f"resuming ended with exit code {again.code}:\n{log.read_text(errors='replace')[-2000:]}")
        return replace(figures, resume_s=first[0] - again.started)


def bare(iterations: int, alone: float) -> Row:
    """Play the iterations with the program to compare with."""
    with tempfile.TemporaryDirectory() as folder, model_server(iterations) as base:
        log = Path(folder, "log")
        command = [sys.executable, str(HERE / "bare.py"), LITELLM_MODEL]
        used = run(command, Path(folder), environment(base, Path(folder)), log)
        seen = records(base)
        checked(used, seen, iterations, log)
        return row("bare create_agent + ChatLiteLLM", seen, used, alone)


def peer_row(peer: peers.Peer, iterations: int, alone: float) -> Row:
    """Play the iterations with another agent."""
    with tempfile.TemporaryDirectory() as folder, model_server(iterations) as base:
        home, work, log = Path(folder, "home"), Path(folder, "work"), Path(folder, "log")
        home.mkdir()
        work.mkdir()
        used = run(peer.command, work, peers.environment(peer.prepare(home, base)), log)
        seen = records(base)
        checked(used, seen, iterations, log)
        return row(peer.name, seen, used, alone)


def cpu_ms(*command: str, times: int = 7) -> float:
    """Median CPU milliseconds of a command."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(command, Path(folder), os.environ, Path(folder, "log")) for _ in range(times)]
    return 1000 * statistics.median(used.cpu for used in runs)


def median_row(rows: list[Row]) -> Row:
    """The median of every figure over repeated runs."""
    columns = {name: [asdict(each)[name] for each in rows] for name in asdict(rows[0]) if name != "agent"}
    medians = {name: statistics.median(values) if values[0] is not None else None for name, values in columns.items()}
    return Row(rows[0].agent, **medians)


def measure(iterations: int, repeat: int) -> dict[str, Any]:
    """All figures of this machine."""
    alone = bash_alone(command(7))
    direct, litellm = ("-m", "bench", "--base-url", "{base}/v1"), ("-m", LITELLM_MODEL)
    anthropic, by_litellm = ("-m", ANTHROPIC_MODEL), ("--set", "transport=litellm")
    makers: list[Callable[[], Row]] = [
        lambda: agent("ml-intern, direct", (*direct, "--no-sandbox"), iterations, alone),
        lambda: agent("ml-intern, litellm", (*litellm, "--no-sandbox"), iterations, alone),
        lambda: agent("ml-intern, Anthropic", (*anthropic, "--no-sandbox"), iterations, alone),
        lambda: agent("ml-intern, Anthropic by litellm", (*anthropic, *by_litellm, "--no-sandbox"), iterations, alone),
    ]
    if sandbox_problem() is None:
        makers.insert(1, lambda: agent("ml-intern, direct, in the sandbox", direct, iterations, alone))
    else:
        print("the sandbox does not work here: its row is left out", file=sys.stderr)
    if importlib.util.find_spec("langchain"):
        makers.append(lambda: bare(iterations, alone))
    else:
        print("langchain is not installed: the bare program is left out (uv run --group bench ...)", file=sys.stderr)
    makers += [partial(peer_row, peer, iterations, alone) for peer in peers.installed()]
    rounds = [[make() for make in makers] for _ in range(repeat)]  # interleaved: the machine's speed changes
    rows = [median_row(list(same)) for same in zip(*rounds, strict=True)]
    names = ("langgraph", "langchain-core", "langchain-litellm", "litellm")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return {
        "iterations": iterations,
        "repeats": repeat,
        "command_alone_ms": 1000 * alone,
        "help_cpu_ms": cpu_ms(PROGRAM, "--help"),
        "langgraph_cpu_ms": cpu_ms(sys.executable, "-c", YARDSTICK),
        "rows": [asdict(each) for each in rows],
        "machine": machine,
        "versions": {name: version(name) for name in names},
        "commit": revision(),
        "date": datetime.now(UTC).date().isoformat(),
    }


COMPARED = ("overhead_ms", "at_300_ms", "first_request_s", "peak_mb", "resume_s")
SLOWER = 1.15
"""A figure that grew by more than this factor is reported, compared to the import of LangGraph in the same run."""


def summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run."""
    rows = {each["agent"]: {name: each[name] for name in COMPARED} for each in results["rows"]}
    kept = ("commit", "date", "machine", "iterations", "langgraph_cpu_ms")
    return {name: results.get(name, "") for name in kept} | {"rows": rows}


def history(earlier: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs before this one, oldest first."""
    return [*earlier.get("history", []), summary(earlier)] if earlier else []


def slower(results: Mapping[str, Any]) -> list[str]:
    """A line for each figure of ml-intern that became worse since the run before."""
    if not results["history"]:
        return []
    before, now = results["history"][-1], summary(results)
    speed = now["langgraph_cpu_ms"] / before["langgraph_cpu_ms"]
    found = []
    for agent_name, figures in now["rows"].items():
        old = before["rows"].get(agent_name, {}) if agent_name.startswith("ml-intern") else {}
        for name in COMPARED:
            if old.get(name) and figures[name]:
                factor = figures[name] / old[name] / (1 if name == "peak_mb" else speed)
                if factor > SLOWER:
                    found.append(f"{agent_name}: {HEADINGS[name]} is {factor:.2f} times that of {before['commit']}")
    return found


def ratios(results: Mapping[str, Any]) -> list[str]:
    """A line for each other agent: what ml-intern takes in proportion to it."""
    own = results["rows"][0]
    others = [each for each in results["rows"] if not each["agent"].startswith("ml-intern")]
    return [
        f"{own['agent']}, in proportion to {other['agent']}: "
        + ", ".join(f"{HEADINGS[name]} {own[name] / other[name]:.2f}" for name in COMPARED if other[name])
        for other in others
    ]


HEADINGS = {
    "overhead_ms": "overhead, median (ms)",
    "at_10_ms": "at 10 (ms)",
    "at_300_ms": "at the last (ms)",
    "growth": "growth",
    "first_request_s": "first request (s)",
    "peak_mb": "peak (MB)",
    "store_kib": "store (KiB)",
    "resume_s": "resume (s)",
}


def table(results: Mapping[str, Any]) -> str:
    """The figures as a markdown table."""
    lines = ["| | " + " | ".join(HEADINGS.values()) + " |", "|---" * (len(HEADINGS) + 1) + "|"]
    for each in results["rows"]:
        cells = ("" if each[name] is None else f"{each[name]:.{_digits(name)}f}" for name in HEADINGS)
        lines.append(f"| {each['agent']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def notes(results: Mapping[str, Any]) -> str:
    """What belongs under the table: the single figures, the machine, the versions."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    runs = f"{results['repeats']} runs of {results['iterations']} iterations"
    sentences = (
        f"`--help` takes {results['help_cpu_ms']:.0f} ms of CPU.",
        f"A yardstick: importing LangGraph and its saver alone takes {results['langgraph_cpu_ms']:.0f} ms here.",
        f"The command by itself takes {results['command_alone_ms']:.1f} ms, which is taken off every iteration.",
        f"Medians of {runs}; {results['machine']}; {versions}.",
    )
    return " ".join(filter(None, [*sentences, results["remark"]]))


def _digits(name: str) -> int:
    return {"growth": 2, "first_request_s": 2, "resume_s": 2, "peak_mb": 0, "store_kib": 0}.get(name, 1)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument("--remark", default="", help="a sentence about the circumstances, for the README")
    asked = parser.parse_args()
    earlier = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    results = measure(asked.iterations, asked.repeat) | {"remark": asked.remark, "history": history(earlier)}
    asked.out.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    print(f"\n{notes(results)}\n", *ratios(results), *slower(results), sep="\n")


if __name__ == "__main__":
    main()
