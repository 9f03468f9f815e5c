"""Cards: what is checked of a README.md before it goes up, and changes of its metadata."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

CARD = "README.md"
_WANTED = {
    "model": ("license", "base_model", "datasets", "metrics"),
    "dataset": ("license", "task_categories", "language"),
    "space": ("title", "sdk"),
}
_PLACEHOLDERS = ("[More Information Needed]", "[optional]", "TODO")
_SHORT = 300
_FRONT = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---\s*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class CardCheck:
    """What is wrong with a card: errors keep it from going up, wishes are told."""

    errors: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()


def check_card(text: str, type: str) -> CardCheck:
    """The faults of a README.md for a repository of this type, without asking the Hub."""
    front = _FRONT.match(text)
    try:
        metadata = yaml.safe_load(front[1]) if front else {}
    except yaml.YAMLError as error:
        return CardCheck((f"its metadata is no YAML: {' '.join(str(error).split())[:200]}",))
    if not isinstance(metadata, dict | None):
        return CardCheck(("its metadata is no mapping of names to values",))
    body = text[front.end() :] if front else text
    return CardCheck(wishes=tuple(_wishes(metadata or {}, body, type, has_front=front is not None)))


def _wishes(metadata: Mapping[str, Any], body: str, type: str, *, has_front: bool) -> list[str]:
    found = [] if has_front else ["it has no metadata block (--- license: ... ---)"]
    missing = [name for name in _WANTED[type] if not metadata.get(name)]
    if has_front and missing:
        found.append(f"its metadata lacks {', '.join(missing)}")
    left = [word for word in _PLACEHOLDERS if word in body]
    if left:
        found.append(f"placeholders are left in it: {', '.join(left)}")
    if len(body.strip()) < _SHORT and type != "space":
        found.append("it says little: how it was made, the numbers with their data, the script, the limits")
    return found


def merged_card(text: str | None, repo: str, metadata: Mapping[str, Any]) -> str:
    """The text of a card with these fields set; a new one where there was none."""
    from huggingface_hub import RepoCard

    card = RepoCard(text or f"---\n---\n\n# {repo.rpartition('/')[2]}\n", ignore_metadata_errors=True)
    for name, value in metadata.items():
        card.data[name] = value
    return str(card)
