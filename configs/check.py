"""Every fault of a settings file at once, each with its line and column. Loading stops at the first."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ml_intern.configs.env import expand
from ml_intern.configs.layers import note_about, overlaid
from ml_intern.configs.settings import Settings

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass
class Places:
    """The places of a text that is valid JSON, and the keys that stand twice in one object."""

    text: str
    found: dict[KeyPath, Place] = field(default_factory=dict[KeyPath, Place])
    twice: list[tuple[KeyPath, Place]] = field(default_factory=list[tuple[KeyPath, Place]])

    @classmethod
    def of(cls, text: str) -> "Places":
        """Read a text. ValueError when it is no JSON, RecursionError when it is too deep."""
        places = cls(text)
        places._value(places._skip(0), ())
        return places

    def place(self, path: KeyPath) -> Place:
        """Where this is, or the nearest thing around it."""
        return next((self.found[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.found), (1, 1))

    def _at(self, position: int) -> Place:
        return self.text.count("\n", 0, position) + 1, position - self.text.rfind("\n", 0, position)

    def _skip(self, position: int) -> int:
        match = _BLANK.match(self.text, position)
        return match.end() if match else position

    def _value(self, position: int, path: KeyPath) -> int:
        """The position behind the value that begins here."""
        self.found.setdefault(path, self._at(position))
        opening = self.text[position : position + 1]
        if opening == "{":
            return self._members(position + 1, path)
        if opening == "[":
            return self._items(position + 1, path)
        return json.JSONDecoder().raw_decode(self.text, position)[1]

    def _members(self, position: int, path: KeyPath) -> int:
        position = self._skip(position)
        while self.text[position] != "}":
            key, end = json.JSONDecoder().raw_decode(self.text, position)
            if (*path, key) in self.found:
                self.twice.append(((*path, key), self._at(position)))
            self.found[*path, key] = self._at(position)
            position = self._value(self._skip(self._skip(end) + 1), (*path, key))
            position = self._comma(position)
        return position + 1

    def _items(self, position: int, path: KeyPath) -> int:
        position, index = self._skip(position), 0
        while self.text[position] != "]":
            position = self._comma(self._value(position, (*path, index)))
            index += 1
        return position + 1

    def _comma(self, position: int) -> int:
        position = self._skip(position)
        return self._skip(position + 1) if self.text[position] == "," else position


@dataclass(frozen=True)
class SettingsProblem:
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


def problems_of(
    path: Path, known: Mapping[str, str], further: Callable[[Mapping[str, Any]], Iterator[Found]]
) -> list[SettingsProblem]:
    """The faults of one file, in the order of the text.

    `known` is what ${NAME} may stand for; `further` finds in the file's values what only other rooms can tell.
    """
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text)
        places = Places.of(text)
    except UnicodeDecodeError as error:
        return [SettingsProblem(name, 1, 1, "", f"is no UTF-8 at byte {error.start}")]
    except OSError as error:
        return [SettingsProblem(name, 1, 1, "", f"cannot be read: {error.strerror}")]
    except json.JSONDecodeError as error:
        return [SettingsProblem(name, error.lineno, error.colno, "", f"no valid JSON: {error.msg}")]
    except RecursionError:
        return [SettingsProblem(name, 1, 1, "", "nested too deeply")]
    if not isinstance(values, dict):
        return [SettingsProblem(name, 1, 1, "", 'no JSON object; it looks like {"model_name": "..."}')]
    filled = _filled(values, known)
    found = [*_twice(places), *_unset(values, known), *_unknown(values, name), *_bad(filled), *further(filled)]
    faults = [
        SettingsProblem(name, *places.place(path), ".".join(map(str, path)), said, soft) for path, said, soft in found
    ]
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
