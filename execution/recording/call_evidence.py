"""Record what a call did: its arguments and result, the files it opened and wrote, and how long it took."""

import asyncio
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from ml_intern.execution.call import ToolCall, ToolResult
from ml_intern.execution.recording.file_watch import FilesUsed, FileWatch
from ml_intern.execution.recording.programs_used import ProgramsUsed
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.safety.rules import SHELL_TOOL
from ml_intern.text.digests import file_digest

RUN_EVIDENCE: Final = "evidence.json"
"""The file with the evidence of a local run, in the run's folder."""
_MAX_TEXT: Final = 64_000
_MAX_TYPED: Final = 200_000


def is_command(name: str, args: Mapping[str, Any]) -> bool:
    """Return whether a call runs programs until it ends: a command, or the cells of a notebook."""
    return name == SHELL_TOOL or (name == "notebook" and args.get("operation") == "run")


class CallRecorder:
    """Records one call. With verification off, or for a call that only reads, it does nothing."""

    def __init__(self, spec: ToolSpec, call: ToolCall, context: ToolContext) -> None:
        self._off = context.options.verify == "off" or spec.only_reads(call.args) or context.key is None
        self._programs = None if self._off else ProgramsUsed()
        self._call, self._context = call, context
        self._watch: FileWatch | None = None
        self._began = time.time()
        self.written: tuple[str, ...] = ()
        """The files that were seen written, once the call is saved."""

    @property
    def context(self) -> ToolContext:
        """The context for the call, which collects the programs that it starts."""
        return replace(self._context, programs=self._programs)

    async def __aenter__(self) -> "CallRecorder":
        if (
            not self._off
            and is_command(self._call.name, self._call.args)
            and self._context.options.tool_runtime == "local"
        ):
            self._watch = await asyncio.to_thread(FileWatch, self._context.roots())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._watch is not None and not self._watch.closed:
            await asyncio.to_thread(self._watch.close)

    async def save(self, result: ToolResult) -> None:
        """Write the evidence of the call to the store, with the transaction that follows."""
        key = self._context.key
        if not self._off and key is not None:
            body = await asyncio.to_thread(self._body, result)
            self._context.store.evidence.put_later(key.thread_id, "call", f"{key.message_id}/{key.index}", body)

    def _body(self, result: ToolResult) -> dict[str, Any]:
        used = self._watch.close() if self._watch else FilesUsed()
        self.written = used.written
        return {
            "tool": self._call.name,
            "args": json.dumps(self._call.args, ensure_ascii=False)[:_MAX_TYPED],
            "text": shown_text(result),
            "ok": result.ok,
            "status": result.status,
            "began": self._began,
            "seconds": round(time.time() - self._began, 3),
            **evidence_of(used, self._programs),
        }


def shown_text(result: ToolResult) -> str:
    """Return the text of a result. If it was shortened, return the beginning and the end of the full text."""
    if result.artifact:
        try:
            return _ends(Path(result.artifact))
        except OSError:
            return result.text[:_MAX_TEXT]
    text = result.text
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT // 2]}\n{text[-_MAX_TEXT // 2 :]}"


def _ends(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(_MAX_TEXT // 2)
        end = max(file.tell(), path.stat().st_size - _MAX_TEXT // 2)
        between = b"\n" if end > file.tell() else b""
        file.seek(end)
        return (start + between + file.read()).decode(errors="replace")


def evidence_of(used: FilesUsed, programs: ProgramsUsed | None) -> dict[str, Any]:
    """Return files and programs as plain values, the written files with their digests."""
    started = programs.started if programs else None
    hints = programs.hints if programs else ()
    missed = used.missed or (programs.missed if programs else "")
    return {**asdict(used), "missed": missed, "written": digests(used.written), "started": started, "hints": hints}


def digests(paths: Sequence[str]) -> Mapping[str, str]:
    """Return path -> digest of the files; "" for a file that does not exist any more."""
    return {path: _digest(path) for path in paths}


def _digest(path: str) -> str:
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116  called for every file that a command wrote
        return file_digest(path) if is_file else ""
    except OSError:  # it was removed, or it cannot be read
        return ""
