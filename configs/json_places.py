"""Where in a JSON text each key stands: line and column, both from 1, by the path of keys and list positions."""

import json
import re
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
Place = tuple[int, int]
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass
class Places:
    """The places of a text that is valid JSON, and the keys that stand twice in one object."""

    text: str
    found: dict[Path, Place] = field(default_factory=dict[Path, Place])
    twice: list[tuple[Path, Place]] = field(default_factory=list[tuple[Path, Place]])

    @classmethod
    def of(cls, text: str) -> "Places":
        """Read a text. ValueError when it is no JSON, RecursionError when it is too deep."""
        places = cls(text)
        places._value(places._skip(0), ())
        return places

    def place(self, path: Path) -> Place:
        """Where this is, or the nearest thing around it."""
        return next((self.found[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.found), (1, 1))

    def _at(self, position: int) -> Place:
        return self.text.count("\n", 0, position) + 1, position - self.text.rfind("\n", 0, position)

    def _skip(self, position: int) -> int:
        match = _BLANK.match(self.text, position)
        return match.end() if match else position

    def _value(self, position: int, path: Path) -> int:
        """The position behind the value that begins here."""
        self.found.setdefault(path, self._at(position))
        opening = self.text[position : position + 1]
        if opening == "{":
            return self._members(position + 1, path)
        if opening == "[":
            return self._items(position + 1, path)
        return json.JSONDecoder().raw_decode(self.text, position)[1]

    def _members(self, position: int, path: Path) -> int:
        position = self._skip(position)
        while self.text[position] != "}":
            key, end = json.JSONDecoder().raw_decode(self.text, position)
            if (*path, key) in self.found:
                self.twice.append(((*path, key), self._at(position)))
            self.found[*path, key] = self._at(position)
            position = self._value(self._skip(self._skip(end) + 1), (*path, key))
            position = self._comma(position)
        return position + 1

    def _items(self, position: int, path: Path) -> int:
        position, index = self._skip(position), 0
        while self.text[position] != "]":
            position = self._comma(self._value(position, (*path, index)))
            index += 1
        return position + 1

    def _comma(self, position: int) -> int:
        position = self._skip(position)
        return self._skip(position + 1) if self.text[position] == "," else position
