"""The files that a shell command reads Python from: scripts, modules and notebooks."""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ml_intern.evidence.code.check import MAX_SOURCE
from ml_intern.safety.shell.invocations import Invocation
from ml_intern.text.word_table import words

_LAUNCHERS: Final = words("torchrun accelerate deepspeed jupyter papermill ipython runhouse horovodrun composer")
_PYTHON: Final = re.compile(r"python[0-9.]*\Z|pypy[0-9.]*\Z|ipython[0-9.]*\Z")
_SUFFIXES: Final = (".py", ".ipynb")
_MAGIC: Final = re.compile(r"(?m)^(\s*)[%!?].*$")


def runs_python(name: str) -> bool:
    """Return whether a program of this name runs Python code that its arguments name."""
    return _PYTHON.match(name) is not None or name in _LAUNCHERS or name.endswith(_SUFFIXES)


def scripts_of(one: Invocation, folder: Path) -> list[str]:
    """Return the paths of the scripts, modules and notebooks that a program run in `folder` reads its code from."""
    is_python = _PYTHON.match(one.name) is not None
    names = [word for word in one.arguments if word.endswith(".py")]
    if one.name.endswith(_SUFFIXES) and one.command.words:
        names.append(next((word.text for word in one.command.words if word.text.endswith(one.name)), one.name))
    if is_python or one.name in _LAUNCHERS:
        names += [word for word in one.operands if word.endswith(".ipynb")][:1]
        names += _modules(one)
    if is_python and not names:
        names += [redirect.target.text for redirect in one.command.redirects if redirect.operator == "<"]
    return list(dict.fromkeys(_place(name, one, folder) for name in names))


def _modules(one: Invocation) -> Iterator[str]:
    """Yield the files that `python -m package.module` may run."""
    arguments = one.arguments
    if "-m" in arguments[:-1]:
        path = arguments[arguments.index("-m") + 1].replace(".", "/")
        yield from (f"{path}.py", f"{path}/__main__.py")


def _place(name: str, one: Invocation, folder: Path) -> str:
    """Return the path of a file: in the folder that the program runs in, if it is there."""
    places = [posixpath.join(folder, start, name) for start in one.folders]
    return posixpath.normpath(next((path for path in places if Path(path).is_file()), posixpath.join(folder, name)))


def read_source(file: Path) -> str | None:
    """Return the Python source of a script or notebook; None if it cannot be read.

    Of a file that is too large to be analysed, one byte more than is analysed is returned.
    """
    try:
        with file.open("rb") as stream:
            limit = MAX_SOURCE * (20 if file.suffix == ".ipynb" else 1)
            text = stream.read(limit + 1).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    return notebook_source(text) if file.suffix == ".ipynb" and len(text) <= limit else text


def notebook_source(text: str) -> str:
    """Return the code cells of a notebook in order, without magics; "" if it is not a notebook."""
    try:
        cells = json.loads(text).get("cells", [])
    except (ValueError, AttributeError, RecursionError):
        return ""
    sources = [one.get("source", "") for one in cells if isinstance(one, dict) and one.get("cell_type") == "code"]
    joined = ["".join(one) if isinstance(one, list) else str(one) for one in sources]
    return "\n\n".join(_MAGIC.sub(r"\1pass", one) for one in joined if not one.startswith("%%"))


def notebook_outputs(text: str) -> str:
    """Return what the code cells of a notebook printed; "" if it is not a notebook."""
    try:
        cells = json.loads(text).get("cells", [])
    except (ValueError, AttributeError, RecursionError):
        return ""
    outputs = [out for one in cells if isinstance(one, dict) for out in one.get("outputs", ())]
    shown = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs if isinstance(out, dict)]
    return "\n".join("".join(one) if isinstance(one, list) else str(one) for one in shown)
