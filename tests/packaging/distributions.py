"""Builds distributions and creates the environments they are installed in, without the package index."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[2]
UV = [sys.executable, "-m", "uv"]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return its output."""
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def build(folder: Path, *options: str) -> None:
    """Build this checkout with uv: a source distribution, and from it the wheel. `options` choose otherwise."""
    offline = ("--offline", "--no-build-isolation", "--python", sys.executable)
    run(*UV, "build", "--quiet", *offline, *options, "--out-dir", folder, ROOT)


def wheel_in(folder: Path) -> Path:
    """Return the only wheel in a folder."""
    [wheel] = folder.glob("*.whl")
    return wheel


def environment(folder: Path, python: str = sys.executable) -> Path:
    """Create a virtual environment and return its interpreter."""
    run(*UV, "venv", "--quiet", "--offline", "--python", python, folder)
    return folder / "bin" / "python"


def site_packages(python: Path) -> Path:
    """Return the folder that an interpreter installs packages in."""
    return Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def install(python: Path, *wheels: Path) -> None:
    """Install wheels alone, without what they depend on."""
    run(*UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, *wheels)


def use_packages_of_the_tests(python: Path) -> None:
    """Let an environment import the dependencies that are installed for the tests, after its own packages."""
    (site_packages(python) / "dependencies.pth").write_text(str(site_packages(Path(sys.executable))))


def installed_files(python: Path) -> set[str]:
    """Return every file of an environment but compiled bytecode."""
    prefix = python.parent.parent
    return {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.suffix != ".pyc" and not path.is_dir()}


NEIGHBOUR = {
    "tools/__init__.py": "",
    "tools/base.py": "NAME = 'tools of the neighbour'\n",
    "models/__init__.py": "NAME = 'models of the neighbour'\n",
    "graph/__init__.py": "NAME = 'graph of the neighbour'\n",
    "neighbour_rows.py": '''"""A tool package for ml-intern that also has modules named like folders of ml-intern."""

from graph import NAME
from tools import base

from ml_intern.tools import ToolArgs, ToolContext, tool


class CountRowsArgs(ToolArgs):
    """What count_rows takes."""

    path: str


@tool(read_only=True)
async def count_rows(args: CountRowsArgs, context: ToolContext) -> str:
    """Count the rows of a file."""
    rows = context.resolve(args.path, reading=True).read_text().splitlines()
    return f"{len(rows)} rows, by {NAME} and {base.NAME}"
''',
    "neighbour-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: neighbour\nVersion: 1.0\n",
    "neighbour-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "neighbour-1.0.dist-info/entry_points.txt": "[ml_intern.tools]\ncount_rows = neighbour_rows:count_rows\n",
}


def neighbour(folder: Path) -> Path:
    """Write the wheel of another package, with top-level tools, models and graph and a tool for ml-intern."""
    path = folder / "neighbour-1.0-py3-none-any.whl"
    record = "neighbour-1.0.dist-info/RECORD"
    with ZipFile(path, "w") as wheel:
        for name, text in NEIGHBOUR.items():
            wheel.writestr(name, text)
        wheel.writestr(record, "".join(f"{name},,\n" for name in (*NEIGHBOUR, record)))
    return path
