"""Files of GitHub repositories: reads files and folders, converts notebooks, and ranks example scripts."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rapidfuzz import fuzz

from ml_intern.execution.call import ToolError
from ml_intern.text.formatting import capped, plural

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
_SKIPPED = ("__init__.py", "setup.py", "conftest.py")
_MIN_FIT = 55


@dataclass(frozen=True)
class FileAddress:
    """A repository and optionally a path, ref and line range in it."""

    repository: str
    path: str = ""
    ref: str = ""
    first: int | None = None
    last: int | None = None


def parse_repository(repository: str) -> FileAddress:
    """Parse owner/name or a GitHub address. Raises ToolError when it is neither."""
    parts = urlsplit(repository.strip())
    if parts.netloc:
        if parts.netloc.lower() not in ("github.com", "www.github.com", "raw.githubusercontent.com"):
            raise ToolError(f"{repository[:200]} is not a GitHub address; use owner/name")
        return _parse_url([unquote(part) for part in parts.path.split("/") if part], parts.netloc, parts.fragment)
    name = repository.strip().removesuffix(".git")
    if not _NAME.fullmatch(name):
        raise ToolError(f"{repository[:200]!r} is not a repository; use owner/name")
    return FileAddress(name)


def _parse_url(parts: Sequence[str], host: str, fragment: str) -> FileAddress:
    if len(parts) < 2:
        raise ToolError("the address does not name a repository; use owner/name")
    name = f"{parts[0]}/{parts[1].removesuffix('.git')}"
    inside = parts[2:] if host.startswith("raw.") else parts[3:] if parts[2:3] in (["blob"], ["tree"]) else ()
    lines = _LINES.fullmatch(fragment)
    first = int(lines[1]) if lines else None
    last = int(lines[2] or lines[1]) if lines else None
    return FileAddress(name, "/".join(inside[1:]), inside[0] if inside else "", first, last)


def read_address(client: "Github", address: FileAddress) -> str:
    """Return a file as text, or the entries of a folder. It blocks. Raises ToolError for other content."""
    repository = client.get_repo(address.repository)
    found = repository.get_contents(address.path, **({"ref": address.ref} if address.ref else {}))
    if isinstance(found, list):
        return "\n".join([f"{address.path or address.repository} is a folder:", *map(_entry, found)])
    if found.size > MAX_BYTES:
        raise ToolError(f"{address.path} is too large ({found.size:,} bytes); clone the repository instead")
    if found.type != "file":
        raise ToolError(f"{address.path} is a {found.type}, not a file")
    raw = found.decoded_content if found.encoding == "base64" else _blob(repository, found.sha)
    return _render(raw, address)


def _blob(repository: Any, sha: str) -> bytes:
    """Return the content of a file that is too large for the contents API."""
    import base64

    return base64.b64decode(repository.get_git_blob(sha).content)


def _entry(entry: Any) -> str:
    return f"{entry.name}/" if entry.type == "dir" else f"{entry.name}  {plural(entry.size, 'byte')}"


def _render(raw: bytes, address: FileAddress) -> str:
    if b"\0" in raw[:8192]:
        raise ToolError(f"{address.path} is binary, {plural(len(raw), 'byte')}")
    text = raw.decode("utf-8", "replace")
    if address.path.endswith(".ipynb"):
        try:
            text = notebook_markdown(text)
        except NotNotebook as error:
            raise ToolError(f"{address.path} is not a readable notebook: {error}") from error
    lines = text.splitlines()
    first, last = address.first or 1, min(address.last or len(lines), len(lines))
    if first > max(len(lines), 1):
        raise ToolError(f"{address.path} has {plural(len(lines), 'line')}; line {first:,} is past the end")
    shown = [f"{number:>6}\t{line}" for number, line in enumerate(lines[first - 1 : last], start=first)]
    more = f"[lines {first:,} to {last:,} of {len(lines):,}]" if (first, last) != (1, len(lines)) else ""
    return "\n".join([*shown, *([more] if more else [])])


def find_examples(client: "Github", address: FileAddress, query: str, limit: int) -> list[str]:
    """Return the paths that look most like example scripts for the query, the best first. It blocks."""
    tree = client.get_repo(address.repository).get_git_tree(address.ref or "HEAD", recursive=True)
    files = [entry.path for entry in tree.tree if entry.type == "blob" and entry.path.endswith(_SCRIPTS)]
    ranked = sorted(((score_path(path, query), path) for path in files), key=lambda found: (-found[0], found[1]))
    note = ["(the repository is too large to list completely)"] if tree.raw_data.get("truncated") else []
    return [*(path for score, path in ranked[:limit] if score > 0), *note]


def score_path(path: str, query: str) -> float:
    """Score how much a path looks like an example for the query; zero or less for no example."""
    folders, name = path.lower().split("/")[:-1], path.lower().rpartition("/")[2]
    if name in _SKIPPED:
        return -1.0
    words = re.split(r"[\W_]+", path.lower())
    score = float(max((_GOOD_FOLDERS.get(folder, 0) for folder in folders), default=0))
    score += max((_GOOD_WORDS.get(word, 0) for word in words), default=0)
    score -= 60 if _BAD_PARTS.search(path.lower()) else 0
    score -= 15 if name.endswith((".yaml", ".yml")) else 0
    if not query:
        return score
    fit = fuzz.token_set_ratio(" ".join(words), " ".join(re.split(r"[\W_]+", query.lower())))
    return score + fit if fit >= _MIN_FIT else -1.0


_OUTPUT_LINES = 15
_LINE = 300


class NotNotebook(ValueError):
    """The text is not a notebook."""


def notebook_markdown(text: str) -> str:
    """Convert a notebook's JSON to markdown. Raises NotNotebook."""
    try:
        notebook = json.loads(text)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        language = str((notebook.get("metadata") or {}).get("language_info", {}).get("name", "python"))
        return "\n\n".join(part for cell in cells for part in _cell(cell, language))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotNotebook("it is damaged or has an unknown version") from error


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
    """Return the text of an output, or "" for images and widgets."""
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    return _joined(output.get("text") or (output.get("data") or {}).get("text/plain") or "")


def _joined(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)
