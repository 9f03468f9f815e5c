"""Every kind of installation on every supported Python. `make test-installs` runs it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.checks import Project, check_program, check_python, is_of_the_checkout
from tests.packaging.distributions import ROOT, UV, build, environment, installed_files, neighbour, run, wheel_in
from tests.packaging.test_wheel import VERSION

PYTHONS = ("3.11", "3.12", "3.13")
pytestmark = [
    pytest.mark.index,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("TESTS_EVERY_INSTALL"), reason="takes minutes: make test-installs"),
]


@dataclass(frozen=True)
class Case:
    """What an installation is made from: distributions, an interpreter, a folder, and another package."""

    folder: Path
    dist: Path
    python: str
    neighbour: Path


@dataclass(frozen=True)
class Installed:
    """A finished installation. uvx has no lasting environment, hence neither a python nor anything to remove."""

    program: tuple[str | Path, ...]
    python: Path | None = None
    remove: tuple[str | Path, ...] = ()
    before: frozenset[str] = frozenset()
    editable: bool = False


def interpreter(version: str) -> str:
    """Return an interpreter of this version: what uv finds, or one that pyenv installed. Skips where there is none."""
    found = subprocess.run([*UV, "python", "find", "--offline", version], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in sorted(versions.glob(f"{version}.*/bin/python{version}")):
        return str(path)
    pytest.skip(f"no Python {version} here")


def into_environment(case: Case, *what: str | Path) -> Installed:
    """Install into a virtual environment, after the other package."""
    python = environment(case.folder / "env", case.python)
    pip: tuple[str | Path, ...] = (*UV, "pip")
    run(*pip, "install", "--quiet", "--python", python, case.neighbour)
    requirements = case.folder / "requirements.txt"
    requirements.write_text(run(*pip, "compile", "--quiet", "--python", python, ROOT / "pyproject.toml"))
    run(*pip, "install", "--quiet", "--python", python, "-r", requirements)
    before = frozenset(installed_files(python))
    run(*pip, "install", "--quiet", "--python", python, *what)
    remove = (*pip, "uninstall", "--quiet", "--python", python, "ml-intern-graph")
    return Installed((python.with_name("ml-intern"),), python, remove, before, editable="-e" in what)


def from_wheel(case: Case) -> Installed:
    return into_environment(case, wheel_in(case.dist))


def from_sdist(case: Case) -> Installed:
    [sdist] = case.dist.glob("*.tar.gz")
    return into_environment(case, sdist)


def from_checkout(case: Case) -> Installed:
    return into_environment(case, "-e", ROOT)


def as_uv_tool(case: Case, *what: str | Path) -> Installed:
    """Install as a uv tool, with folders of its own."""
    environ = {"UV_TOOL_DIR": str(case.folder / "tools"), "UV_TOOL_BIN_DIR": str(case.folder / "bin")}
    uv: tuple[str, ...] = ("env", *(f"{name}={value}" for name, value in environ.items()), *UV, "tool")
    what = what or (wheel_in(case.dist),)
    run(*uv, "install", "--quiet", "--python", case.python, "--with", case.neighbour, *what)
    python = case.folder / "tools" / "ml-intern-graph" / "bin" / "python"
    return Installed(
        (case.folder / "bin" / "ml-intern",), python, (*uv, "uninstall", "ml-intern-graph"), editable="-e" in what
    )


def as_editable_uv_tool(case: Case) -> Installed:
    return as_uv_tool(case, "-e", ROOT)


def with_uvx(case: Case) -> Installed:
    uvx = (*UV, "tool", "run", "--quiet", "--python", case.python)
    return Installed((*uvx, "--with", case.neighbour, "--from", wheel_in(case.dist), "ml-intern"))


KINDS = (from_wheel, from_sdist, from_checkout, as_uv_tool, as_editable_uv_tool, with_uvx)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return folder


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_installed_runs_and_is_removed(
    kind: Callable[[Case], Installed], version: str, dist: Path, tmp_path: Path
) -> None:
    case = Case(tmp_path, dist, interpreter(version), neighbour(tmp_path))
    installed = kind(case)
    project = Project.create(tmp_path)
    check_program(project, installed.program, VERSION)
    if installed.python is None:
        return
    assert is_of_the_checkout(installed.python, project) is installed.editable
    if not installed.editable:
        check_python(project, installed.python, VERSION)
    run(*installed.remove)
    if installed.before:
        assert installed_files(installed.python) == installed.before
    else:
        assert not shutil.which("ml-intern", path=tmp_path / "bin")
        assert not installed.python.parent.parent.exists()
