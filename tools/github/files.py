"""Files of repositories on GitHub: one as numbered lines, a folder, and which are the example scripts."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rapidfuzz import fuzz

from ml_intern.execution.call import ToolError
from ml_intern.text.formatting import capped

if TYPE_CHECKING:
    from github import Github

MAX_BYTES = 5_000_000
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_LINES = re.compile(r"L(\d+)(?:-L(\d+))?")
_SCRIPTS = (".py", ".ipynb", ".sh", ".yaml", ".yml")
_GOOD_FOLDERS = {
    "examples": 40, "example": 40, "scripts": 35, "recipes": 35, "notebooks": 30, "notebook": 30, "tutorials": 30,
    "tutorial": 30, "cookbook": 30, "samples": 25, "demos": 20, "demo": 20, "docs": 5,
}  # fmt: skip
_GOOD_WORDS = {
    "train": 15,
    "finetune": 15,
    "sft": 12,
    "dpo": 12,
    "grpo": 12,
    "run": 8,
    "eval": 6,
    "example": 10,
    "quickstart": 10,
}
_BAD_PARTS = re.compile(r"(^|/)(tests?|deprecated|legacy|archive|third_party|vendor|node_modules|\.[^/]+)/|(^|/)test_")
_DULL = ("__init__.py", "setup.py", "conftest.py")
_FITS_FROM = 55


@dataclass(frozen=True)
class FileAddress:
    """A repository, and perhaps a file in it, as an address names them."""

    repository: str
    path: str = ""
    ref: str = ""
    first: int | None = None
    last: int | None = None


def place_of(repository: str) -> FileAddress:
    """What owner/name or an address of GitHub names. Raises ToolError when it is neither."""
    parts = urlsplit(repository.strip())
    if parts.netloc:
        if parts.netloc.lower() not in ("github.com", "www.github.com", "raw.githubusercontent.com"):
            raise ToolError(f"{repository[:200]} is no address of GitHub; write owner/name")
        return _of_address([unquote(part) for part in parts.path.split("/") if part], parts.netloc, parts.fragment)
    name = repository.strip().removesuffix(".git")
    if not _NAME.fullmatch(name):
        raise ToolError(f"{repository[:200]!r} names no repository; write owner/name")
    return FileAddress(name)


def _of_address(parts: Sequence[str], host: str, fragment: str) -> FileAddress:
    if len(parts) < 2:
        raise ToolError("the address names no repository; write owner/name")
    name = f"{parts[0]}/{parts[1].removesuffix('.git')}"
    inside = parts[2:] if host.startswith("raw.") else parts[3:] if parts[2:3] in (["blob"], ["tree"]) else ()
    lines = _LINES.fullmatch(fragment)
    first = int(lines[1]) if lines else None
    last = int(lines[2] or lines[1]) if lines else None
    return FileAddress(name, "/".join(inside[1:]), inside[0] if inside else "", first, last)


def read_place(client: "Github", place: FileAddress) -> str:
    """A file as text, or what is in a folder. Blocks; raises ToolError for what cannot be shown."""
    repository = client.get_repo(place.repository)
    found = repository.get_contents(place.path, **({"ref": place.ref} if place.ref else {}))
    if isinstance(found, list):
        return "\n".join([f"{place.path or place.repository} is a folder:", *map(_entry, found)])
    if found.size > MAX_BYTES:
        raise ToolError(f"{place.path} has {found.size:,} bytes, more than are read; clone the repository instead")
    if found.type != "file":
        raise ToolError(f"{place.path} is a {found.type}, no file")
    raw = found.decoded_content if found.encoding == "base64" else _blob(repository, found.sha)
    return _shown(raw, place)


def _blob(repository: Any, sha: str) -> bytes:
    """The content of a file that is too large to come with its description."""
    import base64

    return base64.b64decode(repository.get_git_blob(sha).content)


def _entry(entry: Any) -> str:
    return f"{entry.name}/" if entry.type == "dir" else f"{entry.name}  {entry.size:,} bytes"


def _shown(raw: bytes, place: FileAddress) -> str:
    if b"\0" in raw[:8192]:
        raise ToolError(f"{place.path} is binary, {len(raw):,} bytes")
    text = raw.decode("utf-8", "replace")
    if place.path.endswith(".ipynb"):
        try:
            text = notebook_markdown(text)
        except NotNotebook as fault:
            raise ToolError(f"{place.path} is no notebook that can be read: {fault}") from fault
    lines = text.splitlines()
    first, last = place.first or 1, min(place.last or len(lines), len(lines))
    if first > max(len(lines), 1):
        raise ToolError(f"{place.path} has {len(lines):,} lines; {first:,} is after its end")
    shown = [f"{number:>6}\t{line}" for number, line in enumerate(lines[first - 1 : last], start=first)]
    more = f"[lines {first:,} to {last:,} of {len(lines):,}]" if (first, last) != (1, len(lines)) else ""
    return "\n".join([*shown, *([more] if more else [])])


def examples(client: "Github", place: FileAddress, query: str, limit: int) -> list[str]:
    """The paths that look most like example scripts for the query, the best first. Blocks."""
    tree = client.get_repo(place.repository).get_git_tree(place.ref or "HEAD", recursive=True)
    files = [entry.path for entry in tree.tree if entry.type == "blob" and entry.path.endswith(_SCRIPTS)]
    ranked = sorted(((score(path, query), path) for path in files), key=lambda found: (-found[0], found[1]))
    note = ["(the repository is too large to be listed whole)"] if tree.raw_data.get("truncated") else []
    return [*(path for points, path in ranked[:limit] if points > 0), *note]


def score(path: str, query: str) -> float:
    """How much a path looks like an example for the query; nothing or less for what is none."""
    folders, name = path.lower().split("/")[:-1], path.lower().rpartition("/")[2]
    if name in _DULL:
        return -1.0
    words = re.split(r"[\W_]+", path.lower())
    points = float(max((_GOOD_FOLDERS.get(folder, 0) for folder in folders), default=0))
    points += max((_GOOD_WORDS.get(word, 0) for word in words), default=0)
    points -= 60 if _BAD_PARTS.search(path.lower()) else 0
    points -= 15 if name.endswith((".yaml", ".yml")) else 0
    if not query:
        return points
    fit = fuzz.token_set_ratio(" ".join(words), " ".join(re.split(r"[\W_]+", query.lower())))
    return points + fit if fit >= _FITS_FROM else -1.0


_OUTPUT_LINES = 15
_LINE = 300


class NotNotebook(ValueError):
    """The text is no notebook."""


def notebook_markdown(text: str) -> str:
    """The markdown of a notebook's JSON. Raises NotNotebook."""
    try:
        notebook = json.loads(text)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        language = str((notebook.get("metadata") or {}).get("language_info", {}).get("name", "python"))
        return "\n\n".join(part for cell in cells for part in _cell(cell, language))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotNotebook("it is damaged, or of an unknown version") from error


def _cell(cell: Mapping[str, Any], language: str) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input", ""))).strip()
    if cell.get("cell_type") != "code":
        yield source
        return
    if source:
        yield f"```{language}\n{source}\n```"
    printed = [line for output in cell.get("outputs", []) for line in _output(output).splitlines()]
    if printed:
        yield "\n".join(["```text", *capped([line[:_LINE] for line in printed], _OUTPUT_LINES, "line"), "```"])


def _output(output: Mapping[str, Any]) -> str:
    """What an output says in text; pictures and widgets say nothing."""
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    return _joined(output.get("text") or (output.get("data") or {}).get("text/plain") or "")


def _joined(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)
