"""The numbers of a text by label, as short strings that are saved. Only the labels that are asked for are read."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ml_intern.configs.paths import private_folder
from ml_intern.evidence.numbers.measured import Measured, NumberLabel, measured_in

_MIN_SAVED: Final = 500
"""Texts with fewer characters are read again each time."""


class NumberColumn(NamedTuple):
    """The numbers of a text with one label, in the order of the text: token, value if it differs, % or not, group."""

    about: NumberLabel
    items: str

    def numbers(self, source: str) -> Iterator[Measured]:
        """Yield the numbers with their label."""
        for one in self.items.split():
            token, value, percent, group = one.split("|")
            yield Measured(float(value or token), token, *self.about, percent == "%", int(group), source)


def columns_of(numbers: Iterable[Measured]) -> list[NumberColumn]:
    """Return numbers by label."""
    found: dict[NumberLabel, list[str]] = {}
    for one in numbers:
        about = NumberLabel(one.label, one.metric, one.averaging, one.roles, one.unit, one.counted)
        value = "" if "," not in one.token and float(one.token) == one.value else repr(one.value)
        found.setdefault(about, []).append(f"{one.token}|{value}|{'%' if one.percent else ''}|{one.group}")
    return [NumberColumn(about, " ".join(items)) for about, items in found.items()]


def read_columns(text: str, folder: Path | None) -> Sequence[NumberColumn]:
    """Return the numbers of a text by label, from what was saved in the folder if it was read before."""
    if folder is None or len(text) < _MIN_SAVED:
        return columns_of(measured_in(text, ""))
    place = folder / f"{hashlib.sha256(text.encode(errors='replace')).hexdigest()}.json"
    found = _saved(place)
    if found is None:
        found = columns_of(measured_in(text, ""))
        _save(place, found)
    return found


def _saved(place: Path) -> list[NumberColumn] | None:
    try:
        return [_column(one) for one in json.loads(place.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError):  # it is not there, or it was not written completely
        return None


def _column(saved: Mapping[str, Any]) -> NumberColumn:
    about = {**saved["about"], "roles": frozenset(saved["about"]["roles"])}
    return NumberColumn(NumberLabel(**about), saved["items"])


def _save(place: Path, columns: Sequence[NumberColumn]) -> None:
    rows = [{"about": {**one.about._asdict(), "roles": sorted(one.about.roles)}, "items": one.items} for one in columns]
    try:
        private_folder(place.parent)
        place.write_text(json.dumps(rows), encoding="utf-8")
    except OSError:  # without it the text is read again
        place.unlink(missing_ok=True)
