"""The Python that a shell command runs: files, -c, here-documents and notebooks."""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ml_intern.evidence.code.check import MAX_SOURCE
from ml_intern.safety.shell.invocations import Invocation, parse_command
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.text.word_table import words

INLINE: Final = "<command>"
"""The name of code that stands in the command itself."""
_LAUNCHERS: Final = words("torchrun accelerate deepspeed jupyter papermill ipython runhouse horovodrun composer")
_PYTHON: Final = re.compile(r"python[0-9.]*\Z|pypy[0-9.]*\Z|ipython[0-9.]*\Z")
_SUFFIXES: Final = (".py", ".ipynb")
_MAGIC: Final = re.compile(r"(?m)^(\s*)[%!?].*$")


def python_sources(command: str, folder: Path) -> list[tuple[str, str]]:
    """Return the Python sources that a command run in `folder` would start, each with its name, without repeats.

    A file that cannot be read is left out. One byte more than the rules analyse is read of a large file.
    """
    parsed = parse_command(command, CommandContext(str(folder), home=str(Path.home())))
    found: dict[str, str] = {}
    for one in parsed.invocations:
        for source, name in _of_invocation(one, folder):
            found.setdefault(f"{name}\0{source}" if name == INLINE else name, source)
    return [(source, key.partition("\0")[0]) for key, source in found.items()]


def _of_invocation(one: Invocation, folder: Path) -> Iterator[tuple[str, str]]:
    is_python = _PYTHON.match(one.name) is not None
    if is_python and one.code:
        yield one.code, INLINE
        return
    if one.name.endswith(_SUFFIXES) and one.command.words:
        named = next((word.text for word in one.command.words if word.text.endswith(one.name)), one.name)
        yield from _read(named, one, folder)
    if not is_python and one.name not in _LAUNCHERS:
        return
    redirected = [redirect.target.text for redirect in one.command.redirects if redirect.operator == "<"]
    scripts = [word for word in one.operands if word.endswith(_SUFFIXES)][:1]
    for path in [*scripts, *(redirected if is_python and not scripts else []), *_modules(one)]:
        yield from _read(path, one, folder)


def _modules(one: Invocation) -> Iterator[str]:
    """Yield the files that `python -m package.module` may run."""
    arguments = one.arguments
    if "-m" in arguments[:-1]:
        path = arguments[arguments.index("-m") + 1].replace(".", "/")
        yield from (f"{path}.py", f"{path}/__main__.py")


def _read(path: str, one: Invocation, folder: Path) -> Iterator[tuple[str, str]]:
    for start in one.folders or (str(folder),):
        file = Path(posixpath.join(start, path))
        text = read_source(file)
        if text is not None:
            yield text, str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)
            return


def read_source(file: Path) -> str | None:
    """Return the Python source of a script or notebook; None if it cannot be read."""
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_SOURCE * (20 if file.suffix == ".ipynb" else 1) + 1).decode("utf-8", "replace")
    except OSError:
        return None
    return notebook_source(text) if file.suffix == ".ipynb" else text


def notebook_source(text: str) -> str:
    """Return the code cells of a notebook in order, without magics; "" if it is not a notebook."""
    try:
        cells = json.loads(text).get("cells", [])
    except (ValueError, AttributeError, RecursionError):
        return ""
    sources = [one.get("source", "") for one in cells if isinstance(one, dict) and one.get("cell_type") == "code"]
    joined = ["".join(one) if isinstance(one, list) else str(one) for one in sources]
    return "\n\n".join(_MAGIC.sub(r"\1pass", one) for one in joined if not one.startswith("%%"))
