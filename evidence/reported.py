"""Check an answer or a card against the numbers that the thread's tools, runs and user reported."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ml_intern.evidence.claims import ReportedNumbers, claims_of, unverified
from ml_intern.execution.tool import Services
from ml_intern.graph.state import SUMMARY

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

_MAX_FILE: Final = 1024 * 1024
_MAX_FILES: Final = 6 * 1024 * 1024
_OWN_WORDS: Final = ("write", "edit", "plan")
"""Tools whose results repeat the model's own text."""
_CARDS: Final = (".md", ".markdown", ".rst")


async def unverified_in(
    text: str, messages: "Sequence[AnyMessage]", thread_id: str, services: Services, files: Sequence[Path] = ()
) -> list[str]:
    """Return the claims of an answer or a card that neither the thread nor the files verify."""
    if next(claims_of(text), None) is None:
        return []
    runs = await services.store.runs.list(thread_id)
    tried = [value for row in await services.store.experiments.list(thread_id) for value in row.values.values()]
    logs = [Path(row.log) for row in runs if row.log]
    reports = [f"{row.metrics}\n{row.tail}" for row in runs]

    def check() -> list[str]:
        saved = _texts([*logs, *_files(services.artifacts(thread_id)), *files])
        results = ReportedNumbers([*_results(messages), *reports, *saved], tried)
        return unverified(text, results, ReportedNumbers(_settings(messages)))

    return await asyncio.to_thread(check)


def _results(messages: "Sequence[AnyMessage]") -> Iterator[str]:
    """Yield the texts of tools and the user, except results that repeat what the model wrote itself."""
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
    """Yield the model's own values: the arguments of its calls and its compaction summaries."""
    for message in messages:
        for call in getattr(message, "tool_calls", ()):
            yield json.dumps(call["args"], ensure_ascii=False)
        if message.type == "ai" and (message.id or "").startswith(SUMMARY):
            yield message.text


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def _texts(files: Sequence[Path]) -> Iterator[str]:
    """Yield the texts of the files, up to a total size. Of a long file, yield the beginning and the end."""
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
