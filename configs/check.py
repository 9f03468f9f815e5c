"""Every fault of a settings file at once, each with its line and column. Loading stops at the first."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.env import expand
from configs.json_places import Path as KeyPath
from configs.json_places import Places
from configs.layers import note_about, overlaid
from configs.settings import Settings


@dataclass(frozen=True)
class Fault:
    """One fault. A warning stops nothing."""

    file: str
    line: int
    column: int
    key: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}:{self.column}: {'warning: ' if self.warning else ''}{key}{self.message}"


Found = tuple[KeyPath, str, bool]
"""Where a fault is, what it is, and whether it stops nothing."""


def faults_of(
    path: Path, known: Mapping[str, str], further: Callable[[Mapping[str, Any]], Iterator[Found]]
) -> list[Fault]:
    """The faults of one file, in the order of the text.

    `known` is what ${NAME} may stand for; `further` finds in the file's values what only other rooms can tell.
    """
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text)
        places = Places.of(text)
    except UnicodeDecodeError as error:
        return [Fault(name, 1, 1, "", f"is no UTF-8 at byte {error.start}")]
    except OSError as error:
        return [Fault(name, 1, 1, "", f"cannot be read: {error.strerror}")]
    except json.JSONDecodeError as error:
        return [Fault(name, error.lineno, error.colno, "", f"no valid JSON: {error.msg}")]
    except RecursionError:
        return [Fault(name, 1, 1, "", "nested too deeply")]
    if not isinstance(values, dict):
        return [Fault(name, 1, 1, "", 'no JSON object; it looks like {"model_name": "..."}')]
    filled = _filled(values, known)
    found = [*_twice(places), *_unset(values, known), *_unknown(values, name), *_bad(filled), *further(filled)]
    faults = [Fault(name, *places.place(path), ".".join(map(str, path)), said, soft) for path, said, soft in found]
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


def _twice(places: Places) -> Iterator[Found]:
    for path, _ in places.twice:
        yield path, "stands there twice; the last one holds", True


def _unset(values: Any, known: Mapping[str, str], path: KeyPath = ()) -> Iterator[Found]:
    if isinstance(values, dict | list):
        pairs = values.items() if isinstance(values, dict) else enumerate(values)
        for key, value in pairs:
            yield from _unset(value, known, (*path, key))
    elif isinstance(values, str):
        try:
            expand(values, known)
        except KeyError as error:
            yield path, f"needs the variable {error.args[0]}, which is not set", False


def _unknown(values: Mapping[str, Any], name: str) -> Iterator[Found]:
    for key in values:
        if key not in Settings.model_fields:
            yield (key,), note_about(key, name).removeprefix(f"{key} in {name} "), True


def _bad(values: Mapping[str, Any]) -> Iterator[Found]:
    try:
        Settings.model_validate(overlaid(dict(values)))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            words = one["msg"].removeprefix("Value error, ")
            yield tuple(one["loc"]), f"{words[:1].lower()}{words[1:]}", False


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, known) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        return expand(value, known)
    except KeyError:
        return value
