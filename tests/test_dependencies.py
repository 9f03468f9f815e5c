"""Declared dependencies and imported modules agree."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ml_intern"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_IMPORTED = {
    "opentelemetry-exporter-otlp-proto-http": "the extra telemetry: a part of the namespace opentelemetry",
    "ipykernel": "the extra notebook: started as a program",
    "langgraph-cli": "the extra studio: started as a program",
    "langgraph-api": "the extra studio: started by langgraph-cli",
    "itsdangerous": "the extra team: imported by Starlette's sessions",
}
PROVIDED = {
    "pyarrow": "optional: tables in Parquet are checked where it is installed",
    "tiktoken": "litellm loads it; models/transports/litellm_loading.py delays that",
}
"""Modules that come with a declared dependency and are imported only together with it, or are optional."""
EXTRAS = {
    "acp": "agent-client-protocol",
    "apprise": "apprise",
    "duckdb": "duckdb",
    "jupyter_client": "jupyter-client",
    "opentelemetry": "opentelemetry-sdk",
    "PIL": "pillow",
    "segno": "segno",
}
"""Modules of extras, which need not be installed, with their distributions."""


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    extras = (one for group in PROJECT["optional-dependencies"].values() for one in group)
    names = (re.match(r"[\w.-]+", one) for one in (*PROJECT["dependencies"], *extras))
    return {normalized(name[0]) for name in names if name}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def providers() -> dict[str, set[str]]:
    """Map each imported module that is not the standard library's to the distributions that provide it."""
    files = [*PACKAGE.glob("*.py"), *(path for link in PACKAGE.iterdir() for path in link.resolve().rglob("*.py"))]
    names = set().union(*map(imports_of, files)) - sys.stdlib_module_names - {"ml_intern"}
    installed = packages_distributions()
    found = {name: {normalized(one) for one in installed.get(name, ())} for name in names}
    return found | {name: {distribution} for name, distribution in EXTRAS.items()}


def test_every_declared_dependency_is_imported() -> None:
    assert declared() - set().union(*providers().values()) == set(NOT_IMPORTED)


def test_every_imported_module_comes_from_a_declared_dependency() -> None:
    known = declared()
    assert {name for name, found in providers().items() if not found & known} == set(PROVIDED)
