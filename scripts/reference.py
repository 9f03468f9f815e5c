"""Write the parts of the documentation that come from the code: tables of options, events, tools and the like.

Each part is a block between `<!-- generated: NAME -->` and `<!-- end -->` in README.md or in a page under docs/.
`--check` lists the pages that are out of date; `--write` updates them.
"""

import argparse
import importlib
import inspect
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["COLUMNS"] = "100"  # the width of the help texts
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Return README.md and every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table. A bar inside a cell is escaped."""
    heads = list(headings)
    lines = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *lines])


def options() -> str:
    """Return the options of the command line."""
    from ml_intern.commands.options import options_table

    return options_table()


def subcommands() -> str:
    """Return the subcommands."""
    from ml_intern.commands.table import commands_table

    return commands_table()


def command_help() -> str:
    """Return the help text of every subcommand and action, each under a heading of its own."""
    from ml_intern.cli import help_text
    from ml_intern.commands.table import COMMANDS

    names = [
        " ".join(filter(None, (name, action)))
        for name, command in COMMANDS.items()
        for action in command.actions or ("",)
    ]
    return "\n\n".join(f"## {name}\n\n```text\n{help_text(name).strip()}\n```" for name in names)


def settings() -> str:
    """Return the keys of a settings file with their defaults."""
    from ml_intern.configs.schema import settings_rows

    return table(["key", "variable", "default", "meaning"], settings_rows())


def program_variables() -> str:
    """Return the environment variables of the program that are not settings."""
    from ml_intern.configs.variables import PROGRAM_VARIABLES, VARIABLES_WITHOUT_EFFECT

    former = {name: f"no effect: {reason}" for name, reason in VARIABLES_WITHOUT_EFFECT.items()}
    rows = ([f"`{name}`", meaning] for name, meaning in {**PROGRAM_VARIABLES, **former}.items())
    return table(["variable", "meaning"], rows)


def slash_commands() -> str:
    """Return the slash commands of the prompt."""
    from ml_intern.terminal.slash.table import slash_table

    return slash_table()


def events() -> str:
    """Return the events of stream-json with the keys of their data."""
    from ml_intern.graph.events import EVENTS

    rows = ([f"`{name}`", spec.meaning, ", ".join(f"`{key}`" for key in spec.fields)] for name, spec in EVENTS.items())
    return table(["type", "meaning", "data"], rows)


def providers() -> str:
    """Return the providers of models: prefix of the model id, variables of the key and of the address."""
    from ml_intern.configs.providers import LOCAL_SERVERS, MODEL_PROVIDERS

    rows = (
        [f"`{prefix}/`", one.title, _names(one.key_envs, "" if one.ambient else "*"), _names(one.base_envs)]
        for prefix, one in {**MODEL_PROVIDERS, **LOCAL_SERVERS}.items()
    )
    return table(["model ids", "provider", "key", "address"], rows)


def _names(variables: Iterable[str], mark: str = "") -> str:
    return ", ".join(f"`{name}`{mark}" for name in variables)


def exit_codes() -> str:
    """Return the exit codes."""
    from ml_intern.configs.errors import EXIT_CODES

    return table(["code", "meaning"], ([str(code), meaning] for code, meaning in EXIT_CODES.items()))


def tools() -> str:
    """Return the built-in tools, one line each."""
    from ml_intern.tools.registry import create_builtin_tools

    rows = (
        [f"[`{name}`](#{name})", first_sentence(spec.description)]
        for name, spec in sorted(create_builtin_tools().items())
    )
    return table(["tool", "what it does"], rows)


def tool_parameters() -> str:
    """Return the parameters of every built-in tool, each tool under a heading of its own."""
    from ml_intern.tools.registry import create_builtin_tools

    sections = (
        f"## {name}\n\n{first_sentence(spec.description)}\n\n"
        + table(["parameter", "required", "meaning"], _parameters(spec.parameters.model_fields))
        for name, spec in sorted(create_builtin_tools().items())
    )
    return "\n\n".join(sections)


def _parameters(fields: Any) -> Iterator[list[str]]:
    for name, field in fields.items():
        yield [f"`{name}`", "yes" if field.is_required() else "", field.description or ""]


def checks() -> str:
    """Return the preflight checks."""
    from ml_intern.runs.preflight.check import RULES

    rows = ([f"`{name}`", first_sentence(rule.__doc__ or "")] for name, rule in RULES.items())
    return table(["check", "what it does"], rows)


def loop() -> str:
    """Return the picture in graph/build.py, and the edges of the graph that it builds."""
    build = importlib.import_module("ml_intern.graph.build")
    picture = textwrap.dedent((build.__doc__ or "").partition("\n\n")[2]).strip("\n").rstrip()
    drawn = build.build_graph(cast(Any, None)).compile().get_graph()
    following: dict[str, list[str]] = {name: [] for name in drawn.nodes if name != "__end__"}
    for edge in drawn.edges:
        following[edge.source].append(_node(edge.target))
    rows = ([_node(name), _node_summary(name), ", ".join(sorted(targets))] for name, targets in following.items())
    return f"```text\n{picture}\n```\n\n" + table(["node", "what it does", "next"], rows)


def _node(name: str) -> str:
    return {"__start__": "START", "__end__": "END"}.get(name, f"`{name}`")


def _node_summary(name: str) -> str:
    if name == "__start__":
        return "A message from the user, or the continuation of a thread."
    return first_sentence(inspect.getdoc(getattr(importlib.import_module(f"ml_intern.nodes.{name}"), name)) or "")


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring."""
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0]


def layers() -> str:
    """Return the layers of pyproject.toml, from the top down."""
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return "```text\n" + "\n".join(line.replace("ml_intern.", "") for line in found) + "\n```"


def figures() -> str:
    """Return the last results of bench/overhead.py."""
    from bench.overhead import notes
    from bench.overhead import table as overhead_table

    results = json.loads((ROOT / "bench" / "results.json").read_text())
    return f"{overhead_table(results)}\n\n{notes(results)}"


BLOCKS: dict[str, Callable[[], str]] = {
    "options": options,
    "subcommands": subcommands,
    "command-help": command_help,
    "slash-commands": slash_commands,
    "settings": settings,
    "program-variables": program_variables,
    "events": events,
    "providers": providers,
    "exit-codes": exit_codes,
    "tools": tools,
    "tool-parameters": tool_parameters,
    "checks": checks,
    "loop": loop,
    "layers": layers,
    "figures": figures,
}


def renewed(text: str) -> str:
    """Return a page's text with its generated blocks made from the code. KeyError for an unknown block."""
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}\n{found[3]}", text)


def blocks_in(texts: Iterable[str]) -> list[str]:
    """Return the names of the blocks in these pages."""
    return [found[2] for text in texts for found in BLOCK.finditer(text)]


def stale(text: str) -> list[str]:
    """Return the names of the blocks of a page that are out of date."""
    pairs = zip(BLOCK.finditer(text), BLOCK.finditer(renewed(text)), strict=True)
    return [before[2] for before, after in pairs if before[0] != after[0]]


def check() -> list[str]:
    """Return one line for each page that is out of date and each block that no page shows."""
    texts = {path: path.read_text() for path in pages()}
    lines = [
        f"{path.relative_to(ROOT)}: out of date: {', '.join(names)}" for path in texts if (names := stale(texts[path]))
    ]
    missing = BLOCKS.keys() - set(blocks_in(texts.values()))
    return [*lines, *(f"no page shows the block {name}" for name in sorted(missing))]


def main() -> int:
    """Check or update the pages; the exit code is 1 when one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="list the pages that are out of date")
    choice.add_argument("--write", action="store_true", help="update the pages")
    if parser.parse_args().write:
        for path in pages():
            path.write_text(renewed(path.read_text()))
        return 0
    lines = check()
    if lines:
        print("\n".join([*lines, "Update them: python scripts/reference.py --write"]), file=sys.stderr)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
