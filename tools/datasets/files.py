"""Read the first rows of a dataset from its own files when the viewer does not show it."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError
from ml_intern.net.hub_files import read_head

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_ROWS = 100
MAX_SPLITS = 4
MAX_FILES = 5_000
HEAD_BYTES = 500_000
_SPLIT_WORDS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation",
                "dev": "validation", "test": "test", "eval": "test"}  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """The first rows of each split, read from files."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()


def read_samples(api: "HfApi", dataset: str) -> Samples:
    """Read the first rows from one file of each split.

    Raises:
        ToolError: the dataset has no files, or none in a readable format.
    """
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    try:
        tree = api.list_repo_tree(dataset, recursive=True, repo_type="dataset")
        files = [one.path for one in islice(tree, MAX_FILES) if hasattr(one, "size")]
    except (EntryNotFoundError, RevisionNotFoundError):
        files = []
    readable = {path: reader for path in files if (reader := _READERS.get(PurePosixPath(path).suffix.lower()))}
    if not readable:
        kinds = ", ".join(sorted({PurePosixPath(path).suffix or path for path in files})) or "no files"
        raise ToolError(f"dataset {dataset} has no files whose rows can be read ({kinds}); list them with hub_repos")
    by_split = _by_split(list(readable))
    rows = {
        split: list(islice(readable[path](read_head(api, dataset, "dataset", None, path, HEAD_BYTES)), MAX_ROWS))
        for split, path in islice(by_split.items(), MAX_SPLITS)
    }
    nonempty = {split: found for split, found in rows.items() if found}
    if not nonempty:
        raise ToolError(f"dataset {dataset}: no rows could be read from {', '.join(by_split.values())}")
    return Samples(nonempty, notes=(f"the rows were read from the start of {', '.join(by_split.values())}",))


def _by_split(paths: Sequence[str]) -> dict[str, str]:
    """Return the first file of each split, judged by the words in its path."""
    found: dict[str, str] = {}
    for path in sorted(paths):
        words = path.lower().replace("/", "-").replace("_", "-").replace(".", "-").split("-")
        split = next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "train")
        found.setdefault(split, path)
    return found


def _json_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects of complete lines, or the items of a JSON list."""
    text = content.decode("utf-8", "replace")
    if text.lstrip().startswith("["):
        yield from _json_list_items(text)
        return
    lines = text.splitlines() if len(content) < HEAD_BYTES else text.splitlines()[:-1]
    for line in filter(None, lines):
        try:
            row = json.loads(line)
        except ValueError:
            return
        if isinstance(row, dict):
            yield row


def _json_list_items(text: str) -> Iterator[dict[str, Any]]:
    decoder, position = json.JSONDecoder(), text.index("[") + 1
    while position < len(text):
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        try:
            item, position = decoder.raw_decode(text, position)
        except ValueError:
            return
        if isinstance(item, dict):
            yield item


def _csv_reader(delimiter: str) -> Callable[[bytes], Iterator[dict[str, Any]]]:
    def rows(content: bytes) -> Iterator[dict[str, Any]]:
        text = content.decode("utf-8-sig", "replace")
        whole = text if len(content) < HEAD_BYTES else text.rpartition("\n")[0]
        yield from csv.DictReader(io.StringIO(whole, newline=""), delimiter=delimiter)

    return rows


_READERS: dict[str, Callable[[bytes], Iterator[dict[str, Any]]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_lines,
    ".csv": _csv_reader(","),
    ".tsv": _csv_reader("\t"),
}
