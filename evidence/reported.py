"""What a thread was told: the numbers that its tools, runs and user gave, to hold an answer or a card against."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ml_intern.evidence.claims import Held, claims_of, unverified
from ml_intern.execution.tool import Services
from ml_intern.graph.state import SUMMARY

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

_MAX_FILE: Final = 1024 * 1024
_MAX_FILES: Final = 6 * 1024 * 1024
_OWN_WORDS: Final = ("write", "edit", "plan")
"""Tools whose results only repeat what the model wrote."""
_CARDS: Final = (".md", ".markdown", ".rst")


async def unverified_in(
    text: str, messages: "Sequence[AnyMessage]", thread_id: str, services: Services, files: Sequence[Path] = ()
) -> list[str]:
    """The numbers of an answer or a card that claim a result and that nothing in the thread, nor a file, holds."""
    if next(claims_of(text), None) is None:
        return []
    runs = await services.store.runs.list(thread_id)
    tried = [value for row in await services.store.experiments.list(thread_id) for value in row.values.values()]
    logs = [Path(row.log) for row in runs if row.log]
    said = [f"{row.metrics}\n{row.tail}" for row in runs]

    def looked_up() -> list[str]:
        kept = _texts([*logs, *_files(services.artifacts(thread_id)), *files])
        results = Held([*_results(messages), *said, *kept], tried)
        return unverified(text, results, Held(_settings(messages)))

    return await asyncio.to_thread(looked_up)


def _results(messages: "Sequence[AnyMessage]") -> Iterator[str]:
    """What tools and the user said. What the model wrote into a file and had read to it again says nothing."""
    calls = {call["id"]: call for message in messages for call in getattr(message, "tool_calls", ())}
    for message in messages:
        if message.type == "human":
            yield message.text
        elif message.type == "tool":
            call: Mapping[str, Any] = calls.get(message.tool_call_id) or {"name": message.name or "", "args": {}}
            path = str(call["args"].get("path") or "")
            if call["name"] not in _OWN_WORDS and not path.lower().endswith(_CARDS):
                yield message.text


def _settings(messages: "Sequence[AnyMessage]") -> Iterator[str]:
    """What the model chose: the arguments of its calls, and its notes of what was compacted."""
    for message in messages:
        for call in getattr(message, "tool_calls", ()):
            yield json.dumps(call["args"], ensure_ascii=False)
        if message.type == "ai" and (message.id or "").startswith(SUMMARY):
            yield message.text


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def _texts(files: Sequence[Path]) -> Iterator[str]:
    """The files, of long ones the beginning and the end, so many as can be read in a moment."""
    left = _MAX_FILES
    for path in files:
        size = min(_MAX_FILE, left)
        if size <= 0:
            return
        try:
            with path.open("rb") as file:
                found = file.read(size // 2)
                file.seek(max(file.tell(), path.stat().st_size - size // 2))
                found += b"\n" + file.read(size // 2)
        except OSError:
            continue
        left -= len(found)
        yield found.decode(errors="replace")
