"""The rooms of the repository and what they may know of each other."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("commands", "terminal", "graph", "nodes", "tools", "models", "outbound", "safety", "store", "configs")
CHECKED = (*ROOMS, "tests", "bench", "scripts")
MAX_LINES = 350
SQL = re.compile(
    r"\s*(SELECT\b|INSERT (OR \w+ )?INTO\b|UPDATE \w+ SET\b|DELETE FROM\b|CREATE (TABLE|INDEX)\b|PRAGMA \w|BEGIN IMMED)"
)


def sources(*folders: str) -> Iterator[Path]:
    yield from ROOT.glob("*.py")
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def imported(path: Path) -> set[str]:
    """The top-level names of everything a file imports, inside functions too."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def is_sql(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(SQL.match(node.value))


def outside(room: str) -> list[Path]:
    return [path for path in sources(*ROOMS) if path.relative_to(ROOT).parts[0] != room]


def test_the_arrows_between_the_rooms_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_models_alone_imports_litellm() -> None:
    found = [path for path in outside("models") if imported(path) & {"litellm", "langchain_litellm"}]
    assert found == []


def test_the_store_alone_speaks_sql() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in outside("store")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.expr)
        and (is_sql(node) or ast.unparse(node) in {"sqlite3.connect", "aiosqlite.connect"})
    ]
    assert found == []


def test_no_file_is_longer_than_350_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(*CHECKED)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_dependency_brings_a_package_named_like_ours() -> None:
    ours = {*ROOMS, "cli", "ml_intern"}
    brought = {name: set(who) - {"ml-intern"} for name, who in packages_distributions().items() if name in ours}
    assert {name: who for name, who in brought.items() if who} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_a_typed_package_and_in_the_wheel(room: str) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert room in wheel["only-include"]
    assert (ROOT / room / "__init__.py").is_file()
    assert (ROOT / room / "py.typed").is_file()
