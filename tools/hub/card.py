"""Repository cards: checks a README.md before upload, and updates its metadata."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

CARD = "README.md"
TAG = "ml-intern"
"""The tag of the card of a model that ml-intern uploaded."""
_EXPECTED_FIELDS = {
    "model": ("license", "base_model", "datasets", "metrics"),
    "dataset": ("license", "task_categories", "language"),
    "space": ("title", "sdk"),
}
_PLACEHOLDERS = ("[More Information Needed]", "[optional]", "TODO")
_MIN_BODY = 300
_FRONT = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---\s*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class CardCheck:
    """Problems of a card: errors prevent the upload, suggestions are reported."""

    errors: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()


def check_card(text: str, type: str) -> CardCheck:
    """Check the README.md of a repository of this type, without asking the Hub."""
    front = _FRONT.match(text)
    try:
        metadata = yaml.safe_load(front[1]) if front else {}
    except yaml.YAMLError as error:
        return CardCheck((f"its metadata is not valid YAML: {' '.join(str(error).split())[:200]}",))
    if not isinstance(metadata, dict | None):
        return CardCheck(("its metadata is not a mapping",))
    return CardCheck(
        suggestions=tuple(_suggestions(metadata or {}, card_body(text), type, has_front=front is not None))
    )


def _suggestions(metadata: Mapping[str, Any], body: str, type: str, *, has_front: bool) -> list[str]:
    found = [] if has_front else ["it has no metadata block (--- license: ... ---)"]
    missing = [name for name in _EXPECTED_FIELDS[type] if not metadata.get(name)]
    if has_front and missing:
        found.append(f"its metadata lacks {', '.join(missing)}")
    left = [word for word in _PLACEHOLDERS if word in body]
    if left:
        found.append(f"it still contains placeholders: {', '.join(left)}")
    if len(body.strip()) < _MIN_BODY and type != "space":
        found.append(
            "it is very short: describe how it was made, the metrics with their data, the script and the limitations"
        )
    return found


def card_body(text: str) -> str:
    """Return a card without its metadata block."""
    front = _FRONT.match(text)
    return text[front.end() :] if front else text


def tagged(text: str, repo: str) -> str | None:
    """Return the text of a card with TAG among its tags. None when it has it."""
    from huggingface_hub import RepoCard

    tags = RepoCard(text, ignore_metadata_errors=True).data.get("tags") or []
    listed = [tags] if isinstance(tags, str) else list(tags)
    return None if TAG in listed else update_card(text, repo, {"tags": [*listed, TAG]})


def update_card(text: str | None, repo: str, metadata: Mapping[str, Any]) -> str:
    """Return the text of a card with these fields set, or of a new card."""
    from huggingface_hub import RepoCard

    card = RepoCard(text or f"---\n---\n\n# {repo.rpartition('/')[2]}\n", ignore_metadata_errors=True)
    for name, value in metadata.items():
        card.data[name] = value
    return str(card)
