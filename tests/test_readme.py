"""README.md and the code say the same."""

import importlib
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from ml_intern.graph.operations import UserInput
from ml_intern.tools.registry import ENTRY_POINTS, create_builtin_tools
from tests.session.conftest import Lab, turn

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()


def readme_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_script", ROOT / "scripts" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = readme_script()
BLOCKS = {found[2]: found[0] for found in SCRIPT.BLOCK.finditer(TEXT)}


def code_block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", SCRIPT.BLOCKS)
def test_a_generated_part_is_as_the_code_makes_it(name: str) -> None:
    assert BLOCKS[name] == SCRIPT.renewed(BLOCKS[name]), "renew it: python scripts/readme.py --write"


def test_the_picture_shows_every_node_of_the_graph() -> None:
    from ml_intern.graph.build import build_graph

    picture = BLOCKS["loop"].partition("```text")[2].partition("```")[0]
    assert [node for node in build_graph(cast(Any, None)).nodes if node not in picture] == []


def test_the_two_commands_are_there() -> None:
    assert "pip install uv && uv run ml-intern demo" in TEXT
    assert "uv run pytest" in TEXT


def install_the_example(folder: Path) -> None:
    """Lay the README's tool out as an installed package: its module, and its entry point."""
    declared = tomllib.loads(code_block("toml"))["project"]["entry-points"]
    assert set(declared) == {ENTRY_POINTS}
    lines = [f"[{ENTRY_POINTS}]", *(f"{name} = {target}" for name, target in declared[ENTRY_POINTS].items())]
    information = folder / "count_rows-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: count-rows\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / "count_rows.py").write_text(code_block("python"))


async def test_a_tool_added_as_the_readme_says_is_called_by_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, workspace = tmp_path / "site-packages", tmp_path / "workspace"
    packages.mkdir()
    workspace.mkdir()
    install_the_example(packages)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setitem(sys.modules, "count_rows", importlib.import_module("count_rows"))
    (workspace / "data.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    lab = Lab(tmp_path / "home", workspace, create_builtin_tools())
    model = lab.script(
        {"tool_calls": [{"name": "count_rows", "args": {"path": "data.jsonl"}}]},
        {"text": "There are ${result:(\\d+) rows}."},
    )
    async with lab.session(model) as session:
        events = await turn(session, UserInput("How many rows?"))
    assert events[-1].data["text"] == "There are 2."
