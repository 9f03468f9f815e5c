"""/export: write the conversation to a new file."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_intern.terminal.slash.host import Host

ENDINGS = {".html": "html", ".jsonl": "events", ".json": "openai"}
"""The export format by file extension; the default is Markdown."""


async def export(host: "Host", argument: str) -> None:
    """Write the thread to a new file, in the format of its extension. Secrets are redacted."""
    from ml_intern.outbound.exporting.formats import export_conversation

    if await host.session.row() is None:
        host.screen.line("the thread is empty", "dim")
        return
    path = Path(host.options.workspace) / Path(argument or f"thread-{host.session.thread_id[:8]}.md").expanduser()
    found = await host.session.conversation()
    try:
        with path.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(export_conversation(found, ENDINGS.get(path.suffix.lower(), "markdown")))
    except OSError as error:
        host.screen.line(f"cannot write {path}: {error.strerror}; choose another file with /export FILE", "failure")
        return
    host.screen.line(f"wrote {path}", "dim")
