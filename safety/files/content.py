"""The part of a file's content that controls other programs, for files of which most is ordinary content."""

import json
import posixpath
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from ml_intern.text.word_table import words

_KNOWN_BACKENDS = words(
    "hatchling.build setuptools.build_meta flit_core.buildapi poetry.core.masonry.api uv_build pdm.backend "
    "scikit_build_core.build maturin mesonpy"
)
_HARMLESS_TABLES = words(
    "ruff black isort coverage pyright pylint flake8 yapf codespell vulture interrogate pydocstyle deptry bandit"
)
"""Tables of [tool] that only format, check or measure."""
_HARMLESS_PROJECT = words(
    "name version description readme license license-files authors maintainers keywords classifiers urls "
    "requires-python dependencies optional-dependencies dynamic"
)


def controls_alike(path: str, before: str, after: str) -> bool:
    """Return whether both texts of a file make other programs do the same; False for files judged by their name."""
    part = _PARTS.get(posixpath.basename(path).casefold()) or _PARTS.get(posixpath.splitext(path)[1].casefold())
    if part is None:
        return False
    try:
        return part(after) in ({}, part(before)) if before.strip() else not part(after)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False


def _pyproject(text: str) -> Mapping[str, Any]:
    """Return what builds and test runs take from a pyproject.toml. Raises ValueError."""
    data = tomllib.loads(text)
    build = data.pop("build-system", {})
    if build.get("build-backend") in _KNOWN_BACKENDS and "backend-path" not in build:
        build = {}
    project = {name: value for name, value in data.pop("project", {}).items() if name not in _HARMLESS_PROJECT}
    tools = {name: value for name, value in data.pop("tool", {}).items() if name not in _HARMLESS_TABLES}
    data.pop("dependency-groups", None)
    parts = {"build-system": build, "project": project, "tool": tools, **data}
    return {name: value for name, value in parts.items() if value}


def _notebook(text: str) -> Mapping[str, Any]:
    """Return what an editor runs because of a notebook: its kernel and its extensions. Raises ValueError."""
    metadata = dict(json.loads(text).get("metadata", {}))
    metadata.pop("language_info", None)
    kernel = metadata.pop("kernelspec", {})
    if kernel.get("name", "python3") == "python3":
        kernel = {}
    return {**metadata, **({"kernelspec": kernel} if kernel else {})}


_PARTS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {"pyproject.toml": _pyproject, ".ipynb": _notebook}
