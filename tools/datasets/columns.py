"""Describe the columns of a dataset: their types, the format of conversations, and the trainers they match."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ml_intern.text.formatting import listed

DatasetRow = Mapping[str, Any]
Features = Mapping[str, Any]

_MAX_LABELS = 30
_TURN_KEYS = (("role", "content"), ("from", "value"))


def describe_type(feature: Any) -> str:
    """Describe a feature in the viewer's format."""
    if isinstance(feature, list):
        return f"list of {describe_type(feature[0])}" if feature else "list"
    if not isinstance(feature, Mapping):
        return "unknown"
    match feature.get("_type"):
        case "Value":
            return str(feature.get("dtype"))
        case "ClassLabel":
            names = [str(name) for name in feature.get("names", [])]
            return f"label of {len(names)}: {listed(names, _MAX_LABELS)}"
        case "Sequence" | "List" | "LargeList":
            return f"list of {describe_type(feature.get('feature'))}"
        case str() as kind:
            return kind.lower()
    return "{" + ", ".join(f"{name}: {describe_type(inner)}" for name, inner in feature.items()) + "}"


def label_names(feature: Any) -> list[str]:
    """Return the classes of a label column, or an empty list for other columns."""
    if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel":
        return [str(name) for name in feature.get("names", [])]
    return []


@dataclass(frozen=True)
class Conversations:
    """A column of conversations: turn keys, counts by role, minimum and maximum turns, and anomalies."""

    column: str
    keys: tuple[str, str]
    roles: Mapping[str, int]
    turns: tuple[int, int]
    anomalies: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """A description in one line."""
        roles = ", ".join(f"{role} {count}" for role, count in self.roles.items())
        odd = f"; {'; '.join(self.anomalies)}" if self.anomalies else ""
        shape = f"{{{self.keys[0]}, {self.keys[1]}}}"
        return f"{self.column}: turns of {shape}, {self.turns[0]} to {self.turns[1]} per row; roles: {roles}{odd}"


def find_conversations(rows: Sequence[DatasetRow]) -> list[Conversations]:
    """Return the columns whose values are lists of turns."""
    columns = dict.fromkeys(name for row in rows for name in row)
    return [found for name in columns if (found := _conversation(name, [row.get(name) for row in rows]))]


def _conversation(column: str, values: Sequence[Any]) -> Conversations | None:
    conversations = [value for value in map(_parse_json, values) if isinstance(value, list) and value]
    turns = [turn for value in conversations for turn in value]
    keys = next((keys for keys in _TURN_KEYS if turns and all(_has(turn, keys) for turn in turns)), None)
    if keys is None:
        return None
    lengths = [len(value) for value in conversations]
    return Conversations(
        column,
        keys,
        dict(Counter(str(turn[keys[0]]) for turn in turns).most_common()),
        (min(lengths), max(lengths)),
        tuple(_anomalies(conversations, keys, len(values))),
    )


def _parse_json(value: Any) -> Any:
    """Parse JSON text, in which some datasets store conversations."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _has(turn: Any, keys: tuple[str, str]) -> bool:
    return isinstance(turn, Mapping) and all(key in turn for key in keys)


def _anomalies(conversations: Sequence[list[Any]], keys: tuple[str, str], rows: int) -> Iterator[str]:
    role, content = keys
    speakers = [[str(turn[role]) for turn in value] for value in conversations]
    repeats = sum(any(a == b for a, b in pairwise(one)) for one in speakers)
    unanswered = sum(one[-1] in ("user", "human") for one in speakers)
    empty = sum(any(not turn[content] for turn in value) for value in conversations)
    counts = (
        (rows - len(conversations), "without a conversation"),
        (repeats, "with two consecutive turns of the same role"),
        (unanswered, "that end with a user turn"),
        (empty, "with an empty turn"),
    )
    for count, what in counts:
        if count:
            yield f"{count} of {rows} rows {what}"


@dataclass(frozen=True)
class Trainer:
    """A trainer or task, and the columns it expects."""

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
    "conversations": ("messages", "convert {from, value} to {role, content}, human to user and gpt to assistant"),
    "conversation": ("messages", "rename it"),
    "instruction": ("prompt", "join it with input, if present"),
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


def matching_trainers(features: Features, rows: Sequence[DatasetRow]) -> list[str]:
    """List the trainers whose columns match, as they are or after renaming."""
    columns = set(features) or {name for row in rows for name in row}
    unchanged = [one for one in TRAINERS if set(one.columns) <= columns]
    changes = {old: new for old, new in _RENAMES.items() if old in columns and new[0] not in columns}
    after = columns | {new for new, _ in changes.values()}
    changed = [one for one in TRAINERS if set(one.columns) <= after and one not in unchanged]
    lines = [f"matches as is: {_format_trainers(unchanged)}"] if unchanged else []
    if changed:
        how = "; ".join(f"{old} as {new} ({what})" for old, (new, what) in changes.items())
        lines.append(f"matches after column changes ({how}): {_format_trainers(changed)}")
    return lines or ["matches no trainer by its column names; map the columns first"]


def _format_trainers(trainers: Sequence[Trainer]) -> str:
    return "; ".join(f"{one.name} ({', '.join(one.columns)})" for one in trainers)
