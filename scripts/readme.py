"""The parts of README.md that come from the code: tables, the picture of the loop, the figures.

Each stands between `<!-- generated: NAME -->` and `<!-- end -->`; `--check` names stale ones, `--write` renews them.
"""

import argparse
import importlib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A markdown table; a bar inside a cell is escaped."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    heads = list(headings)
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *lines])


def options() -> str:
    """The options of the command line."""
    from ml_intern.commands.options import options_table

    return options_table()


def subcommands() -> str:
    """The subcommands."""
    from ml_intern.commands.table import commands_table

    return commands_table()


def settings() -> str:
    """The keys of a settings file, from the model that reads it and the comment beneath each."""
    from ml_intern.configs.settings_table import settings_rows

    return table(["key", "default", "meaning"], settings_rows())


def slash_commands() -> str:
    """The commands of the prompt."""
    from ml_intern.terminal.slash.table import slash_table

    return slash_table()


def events() -> str:
    """The events of stream-json."""
    from ml_intern.graph.events import EVENTS

    rows = ([f"`{name}`", spec.meaning, ", ".join(f"`{key}`" for key in spec.fields)] for name, spec in EVENTS.items())
    return table(["type", "meaning", "data"], rows)


def exit_codes() -> str:
    """The exit codes."""
    from ml_intern.configs.errors import EXIT_CODES

    return table(["code", "meaning"], ([str(code), meaning] for code, meaning in EXIT_CODES.items()))


def tools() -> str:
    """The built-in tools with their parameters."""
    from ml_intern.tools.registry import create_builtin_tools

    rows = (
        [f"`{name}`", _first_sentence(spec.description), ", ".join(f"`{key}`" for key in spec.parameters.model_fields)]
        for name, spec in sorted(create_builtin_tools().items())
    )
    return table(["tool", "what it does", "parameters"], rows)


def checks() -> str:
    """The checks of a run before it starts, from the rules themselves."""
    from ml_intern.runs.preflight.check import RULES

    rows = ([f"`{name}`", _first_sentence(rule.__doc__ or "")] for name, rule in RULES.items())
    return table(["rule", "refuses"], rows)


def loop() -> str:
    """The picture in graph/build.py, and the edges of the graph it builds."""
    build = importlib.import_module("ml_intern.graph.build")
    picture = textwrap.dedent((build.__doc__ or "").partition("\n\n")[2]).strip("\n").rstrip()
    drawn = build.build_graph(cast(Any, None)).compile().get_graph()
    following: dict[str, list[str]] = {name: [] for name in drawn.nodes if name != "__end__"}
    for edge in drawn.edges:
        following[edge.source].append(_node(edge.target))
    rows = ([_node(name), _node_does(name), ", ".join(sorted(targets))] for name, targets in following.items())
    return f"```text\n{picture}\n```\n\n" + table(["node", "what it does", "next"], rows)


def _node(name: str) -> str:
    return {"__start__": "START", "__end__": "END"}.get(name, f"`{name}`")


def _node_does(name: str) -> str:
    if name == "__start__":
        return "Input of the user, or the continuation of a thread."
    return _first_sentence(inspect.getdoc(getattr(importlib.import_module(f"ml_intern.nodes.{name}"), name)) or "")


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0]


def figures() -> str:
    """The last results of bench/overhead.py."""
    from bench.overhead import notes
    from bench.overhead import table as overhead_table

    results = json.loads((ROOT / "bench" / "results.json").read_text())
    return f"{overhead_table(results)}\n\n{notes(results)}"


BLOCKS: dict[str, Callable[[], str]] = {
    "options": options,
    "subcommands": subcommands,
    "slash-commands": slash_commands,
    "settings": settings,
    "events": events,
    "exit-codes": exit_codes,
    "tools": tools,
    "checks": checks,
    "loop": loop,
    "figures": figures,
}


def renewed(text: str) -> str:
    """The README's text with every generated part made anew. KeyError when it names a part nobody makes."""
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}\n{found[3]}", text)


def stale(text: str) -> list[str]:
    """Names of the generated parts that are not as the code would make them."""
    new = renewed(text)
    pairs = zip(BLOCK.finditer(text), BLOCK.finditer(new), strict=True)
    return [before[2] for before, after in pairs if before[0] != after[0]]


def main() -> int:
    """Check or renew; exit code 1 when something is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true")
    choice.add_argument("--write", action="store_true")
    text = README.read_text()
    if parser.parse_args().write:
        README.write_text(renewed(text))
        return 0
    names = stale(text)
    if names:
        print(f"README.md is stale: {', '.join(names)}. Renew it: python scripts/readme.py --write", file=sys.stderr)
    return bool(names)


if __name__ == "__main__":
    sys.exit(main())
