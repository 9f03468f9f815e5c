"""`threads export` and `threads import`: write a conversation to a file, or make a thread from one."""

import asyncio
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ml_intern.commands.output import Json, print_json, print_lines, size
from ml_intern.commands.threads.listing import thread_json
from ml_intern.commands.threads.opened import conversation_of, threads_of_user
from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.outbound.importing.reading import ImportedConversation
    from ml_intern.session.protocol import ThreadRow

Thread = Annotated[str, typer.Argument(metavar="THREAD", help="id, unique id prefix or title")]
FormatName = Literal["markdown", "openai", "events", "html", "sts", "claude-code"]
MAX_BYTES = 256 * 1024 * 1024


def export(
    thread: Thread,
    format: Annotated[FormatName, typer.Option("--format", help="file format")] = "markdown",
    file: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="write to this file")] = None,
    upload: Annotated[bool, typer.Option("--upload", help="upload to your trace dataset on the Hub, as sts")] = False,
    json: Json = False,
) -> int:
    """Write a thread's conversation to stdout or a file, or upload it as a trace. Secrets are redacted."""
    if upload:
        address = asyncio.run(_upload(thread))
        return print_json({"address": address}) if json else print_lines([address])
    from ml_intern.outbound.exporting.formats import export_conversation

    found = asyncio.run(conversation_of(thread))
    text = export_conversation(found, format)
    if file is None:
        return print_json({"thread": found.thread_id, "format": format, "text": text}) if json else _print(text)
    path = Path(file).expanduser()
    _write(path, text)
    count = path.stat().st_size
    if json:
        return print_json({"thread": found.thread_id, "format": format, "file": str(path), "bytes": count})
    return print_lines([f"wrote {path} ({size(count)})"])


async def _upload(text: str) -> str:
    async with threads_of_user() as threads:
        return await threads.upload_trace(text, str(_here()))


def _print(text: str) -> int:
    """Print the text unchanged; on a terminal, with control characters made visible."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stdout.isatty():
        from ml_intern.text.visible import visible

        text = visible(text)
    sys.stdout.write(text)
    sys.stdout.flush()
    return 0


def _write(path: Path, text: str) -> None:
    """Write the file, replacing an existing one only when complete. Raises UsageError when it cannot be written."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp") if path.is_file() or not path.exists() else path
    try:
        fresh.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        if fresh != path:
            fresh.replace(path)
    except OSError as error:
        if fresh != path:
            fresh.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror}", "choose another file with -o") from error


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an export, stream-json events, or a session_*.json")],
    json: Json = False,
) -> int:
    """Create a thread from a file, and report what could not be imported. Continue the thread with -r."""
    row, read = asyncio.run(_import(Path(file).expanduser()))
    messages = len(read.conversation.messages)
    if json:
        return print_json({"thread": thread_json(row), "messages": messages, "left_out": read.left_out})
    size_of = f"{plural(messages, 'message')}, {plural(row.turns, 'turn')}"
    left_out = (f"not imported: {count} {what}" for what, count in read.left_out.items())
    return print_lines([f"{row.id}", f"{size_of}; continue with: ml-intern -r {row.id[:8]}", *left_out])


async def _import(path: Path) -> "tuple[ThreadRow, ImportedConversation]":
    from ml_intern.outbound.importing.reading import read_conversation

    read = read_conversation(_text_of(path), path.name)
    conversation = read.conversation
    folder = conversation.folder if Path(conversation.folder or "/nowhere").is_dir() else str(_here())
    async with threads_of_user() as threads:
        return await threads.import_conversation(conversation, folder, path.name), read


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is too large ({size(path.stat().st_size)})", f"the limit is {size(MAX_BYTES)}")
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigurationError("the working folder no longer exists", "cd to another folder") from error
