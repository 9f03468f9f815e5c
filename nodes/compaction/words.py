"""The user's words in a compaction summary: word for word as far as they fit, else with the place of the full text."""

from collections.abc import Sequence

from langchain_core.messages import AnyMessage

from ml_intern.graph.state import TYPED, is_user_message

WORDS = "user_words"
"""Metadata key of a summary: the messages of the user that it replaces, oldest first."""
HEADING = "The user also wrote:"


def words_of(messages: Sequence[AnyMessage]) -> list[str]:
    """Return what the user wrote in these messages, and in those that summaries among them replaced, oldest first.

    Attached files and piped input are left out. Summaries of older versions have the words in one piece.
    """
    found: list[str] = []
    for message in messages:
        typed = str(message.additional_kwargs.get(TYPED) or "")
        if message.type == "ai":
            found += message.additional_kwargs.get(WORDS, [typed] if typed else [])
        elif is_user_message(message):
            found.append(typed or message.text)
    return found


def quoted(words: Sequence[str], room: int, where: str) -> str:
    """Quote messages of the user in about `room` characters: all, else without the longest, else the latest ones.

    What is left out is named, with the file `where` that has its full text.
    """
    shown = [f"{HEADING}\n{one}" for one in words]
    left = sum(map(len, shown)) - room
    for place in sorted(range(len(words)), key=lambda place: len(words[place]), reverse=True):
        if left <= 0:
            return "\n\n".join(shown)
        named = f"[A message of the user with {len(words[place])} characters is in {where}.]"
        if len(named) < len(shown[place]):
            left -= len(shown[place]) - len(named)
            shown[place] = named
    return "\n\n".join(shown) if left <= 0 else _latest(shown, room, where)


def _latest(shown: Sequence[str], room: int, where: str) -> str:
    first = len(shown)
    while first and room >= len(shown[first - 1]):
        first -= 1
        room -= len(shown[first])
    return "\n\n".join([f"[{first} earlier messages of the user are in {where}.]", *shown[first:]])


def unquoted(message: AnyMessage) -> str:
    """Return the words that a summary has in its metadata only, for the file with the full text."""
    words = message.additional_kwargs.get(WORDS, ()) if message.type == "ai" else ()
    return "\n\n".join(f"{HEADING}\n{one}" for one in words if one not in message.text)
