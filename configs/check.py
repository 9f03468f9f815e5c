"""All problems of a settings file at once, each with line and column. Loading, in contrast, stops at the first."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ml_intern.configs.env import expand
from ml_intern.configs.layers import note_about, overlaid, validated
from ml_intern.configs.schema import KeyPath, fill, unknown_keys
from ml_intern.configs.variables import settings_from, variable_notes

Position = tuple[int, int]
"""Line and column, both from 1."""
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass
class Positions:
    """The position of each value in a JSON text, and the keys that occur twice in one object."""

    text: str
    found: dict[KeyPath, Position] = field(default_factory=dict[KeyPath, Position])
    duplicates: list[tuple[KeyPath, Position]] = field(default_factory=list[tuple[KeyPath, Position]])

    @classmethod
    def of(cls, text: str) -> "Positions":
        """Read a text. Raises ValueError when it is not JSON, RecursionError when it is nested too deeply."""
        positions = cls(text)
        positions._value(positions._skip(0), ())
        return positions

    def find(self, path: KeyPath) -> Position:
        """Return the position of a value, or of the closest value that contains it."""
        return next((self.found[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.found), (1, 1))

    def _at(self, position: int) -> Position:
        return self.text.count("\n", 0, position) + 1, position - self.text.rfind("\n", 0, position)

    def _skip(self, position: int) -> int:
        match = _BLANK.match(self.text, position)
        return match.end() if match else position

    def _value(self, position: int, path: KeyPath) -> int:
        """Return the position after the value that begins here."""
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
                self.duplicates.append(((*path, key), self._at(position)))
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
    """One problem of a settings file, or of the environment, which has line 0. A warning does not prevent loading."""

    file: str
    line: int
    column: int
    key: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {'warning: ' if self.warning else ''}{key}{self.message}"


Found = tuple[KeyPath, str, bool]
"""The path of a value, its problem, and whether this is only a warning."""


def problems_of(
    path: Path, known: Mapping[str, str], further: Callable[[Mapping[str, Any]], Iterator[Found]]
) -> list[SettingsProblem]:
    """Return the problems of one file, in the order of the text.

    `known` has the values for ${NAME}. `further` runs the checks of the file's values that need other packages.
    """
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text)
        positions = Positions.of(text)
    except UnicodeDecodeError as error:
        return [SettingsProblem(name, 1, 1, "", f"is not UTF-8 at byte {error.start}")]
    except OSError as error:
        return [SettingsProblem(name, 1, 1, "", f"cannot be read: {error.strerror}")]
    except json.JSONDecodeError as error:
        return [SettingsProblem(name, error.lineno, error.colno, "", f"not valid JSON: {error.msg}")]
    except RecursionError:
        return [SettingsProblem(name, 1, 1, "", "nested too deeply")]
    if not isinstance(values, dict):
        return [SettingsProblem(name, 1, 1, "", 'not a JSON object; write {"model_name": "..."}')]
    filled = _filled(values, known)
    found = [*_duplicates(positions), *_unset(values, known), *_unknown(values, name), *_bad(filled), *further(filled)]
    problems = [
        SettingsProblem(name, *positions.find(path), ".".join(map(str, path)), message, warning)
        for path, message, warning in found
    ]
    return sorted(problems, key=lambda one: (one.line, one.column))


def environment_problems(environment: Mapping[str, str]) -> Iterator[SettingsProblem]:
    """Yield the problems of the ML_INTERN_ variables."""
    for variable, values in settings_from(environment):
        for _, message, _ in _bad(values):
            yield SettingsProblem("environment", 0, 0, variable, message)
    for note in variable_notes(environment):
        yield SettingsProblem("environment", 0, 0, "", note, warning=True)


def _duplicates(positions: Positions) -> Iterator[Found]:
    for path, _ in positions.duplicates:
        yield path, "occurs twice; the last one is used", True


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
    for path in unknown_keys(values):
        yield path, note_about(path, name).partition(f" in {name} ")[2], True


def _bad(values: Mapping[str, Any]) -> Iterator[Found]:
    try:
        validated(overlaid(dict(values)))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            words = one["msg"].removeprefix("Value error, ")
            yield tuple(one["loc"]), f"{words[:1].lower()}{words[1:]}", False


def _filled(value: Any, known: Mapping[str, str], path: KeyPath = ()) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, known, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, known, (*path, index)) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return fill(value, path, known)
    except KeyError:
        return value
