"""The layout of the repository: which folders there are, how large they are, and what may import what."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ml_intern"
FOLDERS = sorted(link.name for link in PACKAGE.iterdir() if link.is_symlink() and link.is_dir())
CHECKED = (*FOLDERS, "ml_intern", "tests", "bench", "scripts")
MAX_LINES = 500
MAX_MODULES = 15
SQL = re.compile(
    r"\s*(SELECT\b|INSERT (OR \w+ )?INTO\b|UPDATE \w+ SET\b|DELETE FROM\b|CREATE (TABLE|INDEX)\b|PRAGMA \w|BEGIN IMMED)"
)


def sources(*folders: str) -> Iterator[Path]:
    yield from ROOT.glob("*.py")
    for folder in folders:
        yield from (path for path in (ROOT / folder).rglob("*.py") if not path.is_symlink())


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts if parts[0] == "ml_intern" else ("ml_intern", *parts))
    return name.removesuffix(".__init__")


def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sources(*FOLDERS, "ml_intern")}


def imported(path: Path) -> Iterator[str]:
    """Everything a file imports, inside functions and for type checking too: modules, and names within modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph() -> dict[str, set[str]]:
    known = modules()
    return {name: {target for target in imported(path) if target in known} - {name} for name, path in known.items()}


def cycle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """A cycle of the graph, or nothing: what is left once every module without an unresolved import is taken away."""
    left = {name: set(targets) for name, targets in graph.items()}
    while ready := {name for name, targets in left.items() if not targets}:
        left = {name: targets - ready for name, targets in left.items() if name not in ready}
    while useless := left.keys() - {target for targets in left.values() for target in targets}:
        left = {name: targets for name, targets in left.items() if name not in useless}
    return sorted(left)


def is_sql(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(SQL.match(node.value))


def outside(folder: str) -> list[Path]:
    return [path for path in sources(*FOLDERS) if path.relative_to(ROOT).parts[0] != folder]


def test_a_folder_imports_only_from_the_layers_below_it() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layers_have_no_exemptions() -> None:
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text()


def test_there_is_no_import_cycle() -> None:
    assert cycle_in(import_graph()) == []


def test_a_cycle_would_be_found() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}) == ["b", "c"]


def test_every_import_names_the_package() -> None:
    """`import graph.state` works in a checkout too, and would make a second copy of every class."""
    names = {*FOLDERS, "cli"}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(*CHECKED)
        for name in imported(path)
        if name.partition(".")[0] in names
    ]
    assert found == []


def test_only_models_imports_litellm() -> None:
    found = [
        path
        for path in outside("models")
        if {name.partition(".")[0] for name in imported(path)} & {"litellm", "langchain_litellm"}
    ]
    assert found == []


def test_all_sql_is_in_the_store() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in outside("store")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.expr)
        and (is_sql(node) or ast.unparse(node) in {"sqlite3.connect", "aiosqlite.connect"})
    ]
    assert found == []


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(*CHECKED)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_folder_has_more_than_15_modules() -> None:
    counts = Counter(path.parent.relative_to(ROOT) for path in sources(*FOLDERS) if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MAX_MODULES} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_linked_into_the_package_and_says_what_is_in_it(folder: str) -> None:
    assert (PACKAGE / folder).readlink() == Path("..") / folder
    for init in (ROOT / folder).rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init


def test_each_public_class_name_is_used_once() -> None:
    classes = Counter(
        node.name
        for path in sources(*FOLDERS, "ml_intern")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in classes.items() if count > 1] == []
