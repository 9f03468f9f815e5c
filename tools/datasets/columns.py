"""What the columns of a dataset are: their types in words, the form of its conversations, the trainers they fit."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ml_intern.text.formatting import listed

Row = Mapping[str, Any]
Features = Mapping[str, Any]

_MAX_LABELS = 30
_TURN_KEYS = (("role", "content"), ("from", "value"))


def type_words(feature: Any) -> str:
    """A feature as the viewer writes it, in words."""
    if isinstance(feature, list):
        return f"list of {type_words(feature[0])}" if feature else "list"
    if not isinstance(feature, Mapping):
        return "unknown"
    match feature.get("_type"):
        case "Value":
            return str(feature.get("dtype"))
        case "ClassLabel":
            names = [str(name) for name in feature.get("names", [])]
            return f"label of {len(names)}: {listed(names, _MAX_LABELS)}"
        case "Sequence" | "List" | "LargeList":
            return f"list of {type_words(feature.get('feature'))}"
        case str() as kind:
            return kind.lower()
    return "{" + ", ".join(f"{name}: {type_words(inner)}" for name, inner in feature.items()) + "}"


def label_names(feature: Any) -> list[str]:
    """The classes of a label column; empty for every other one."""
    if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel":
        return [str(name) for name in feature.get("names", [])]
    return []


@dataclass(frozen=True)
class Conversations:
    """A column of conversations: the keys of its turns, who speaks, how many turns, what is odd."""

    column: str
    keys: tuple[str, str]
    roles: Mapping[str, int]
    turns: tuple[int, int]
    oddities: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """In one line."""
        roles = ", ".join(f"{role} {count}" for role, count in self.roles.items())
        odd = f"; {'; '.join(self.oddities)}" if self.oddities else ""
        shape = f"{{{self.keys[0]}, {self.keys[1]}}}"
        return f"{self.column}: turns of {shape}, {self.turns[0]} to {self.turns[1]} a row; roles: {roles}{odd}"


def conversations(rows: Sequence[Row]) -> list[Conversations]:
    """The columns whose values are lists of turns."""
    columns = dict.fromkeys(name for row in rows for name in row)
    return [found for name in columns if (found := _conversation(name, [row.get(name) for row in rows]))]


def _conversation(column: str, values: Sequence[Any]) -> Conversations | None:
    given = [value for value in map(_decoded, values) if isinstance(value, list) and value]
    turns = [turn for value in given for turn in value]
    keys = next((keys for keys in _TURN_KEYS if turns and all(_has(turn, keys) for turn in turns)), None)
    if keys is None:
        return None
    lengths = [len(value) for value in given]
    return Conversations(
        column,
        keys,
        dict(Counter(str(turn[keys[0]]) for turn in turns).most_common()),
        (min(lengths), max(lengths)),
        tuple(_oddities(given, keys, len(values))),
    )


def _decoded(value: Any) -> Any:
    """Some datasets keep conversations as JSON text."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _has(turn: Any, keys: tuple[str, str]) -> bool:
    return isinstance(turn, Mapping) and all(key in turn for key in keys)


def _oddities(given: Sequence[list[Any]], keys: tuple[str, str], rows: int) -> Iterator[str]:
    role, content = keys
    speakers = [[str(turn[role]) for turn in value] for value in given]
    repeats = sum(any(a == b for a, b in pairwise(one)) for one in speakers)
    unanswered = sum(one[-1] in ("user", "human") for one in speakers)
    empty = sum(any(not turn[content] for turn in value) for value in given)
    counts = (
        (rows - len(given), "without a conversation"),
        (repeats, "where one speaks twice in a row"),
        (unanswered, "that end with the user"),
        (empty, "with an empty turn"),
    )
    for count, what in counts:
        if count:
            yield f"{count} of {rows} rows {what}"


@dataclass(frozen=True)
class Trainer:
    """A trainer, or task, and the columns it wants."""

    name: str
    columns: tuple[str, ...]


TRAINERS = (
    Trainer("SFT", ("messages",)),
    Trainer("SFT", ("prompt", "completion")),
    Trainer("SFT or continued pre-training", ("text",)),
    Trainer("DPO, ORPO, CPO", ("prompt", "chosen", "rejected")),
    Trainer("reward model, DPO with the prompt inside", ("chosen", "rejected")),
    Trainer("KTO", ("prompt", "completion", "label")),
    Trainer("GRPO, RLOO, online DPO", ("prompt",)),
    Trainer("PRM", ("prompt", "completions", "labels")),
    Trainer("text classification", ("text", "label")),
    Trainer("sentence pairs", ("premise", "hypothesis", "label")),
    Trainer("token classification", ("tokens", "ner_tags")),
    Trainer("extractive question answering", ("question", "context", "answers")),
    Trainer("translation", ("translation",)),
    Trainer("summarisation", ("document", "summary")),
    Trainer("summarisation", ("article", "highlights")),
    Trainer("image classification", ("image", "label")),
    Trainer("speech recognition", ("audio", "text")),
    Trainer("speech recognition", ("audio", "sentence")),
    Trainer("sentence embeddings", ("anchor", "positive")),
)
_RENAMES = {
    "conversations": ("messages", "turns of {from, value} become {role, content}, human user, gpt assistant"),
    "conversation": ("messages", "rename it"),
    "instruction": ("prompt", "join it with input where there is one"),
    "question": ("prompt", "rename it"),
    "query": ("prompt", "rename it"),
    "problem": ("prompt", "rename it"),
    "output": ("completion", "rename it"),
    "response": ("completion", "rename it"),
    "answer": ("completion", "rename it"),
    "solution": ("completion", "rename it"),
    "sentence": ("text", "rename it"),
    "content": ("text", "rename it"),
    "labels": ("label", "rename it"),
}


def fitting(features: Features, rows: Sequence[Row]) -> list[str]:
    """Lines that tell which trainers the columns fit, as they are or after a change."""
    columns = set(features) or {name for row in rows for name in row}
    as_they_are = [one for one in TRAINERS if set(one.columns) <= columns]
    changes = {old: new for old, new in _RENAMES.items() if old in columns and new[0] not in columns}
    after = columns | {new for new, _ in changes.values()}
    changed = [one for one in TRAINERS if set(one.columns) <= after and one not in as_they_are]
    lines = [f"fits as it is: {_named(as_they_are)}"] if as_they_are else []
    if changed:
        how = "; ".join(f"{old} as {new} ({what})" for old, (new, what) in changes.items())
        lines.append(f"fits after a change of columns ({how}): {_named(changed)}")
    return lines or ["fits no trainer by its column names: map its columns first"]


def _named(trainers: Sequence[Trainer]) -> str:
    return "; ".join(f"{one.name} ({', '.join(one.columns)})" for one in trainers)
