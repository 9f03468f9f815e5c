"""Live: the reply that streams and the call that runs, as HTML that changes until the complete message arrives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_intern.outbound.exporting.html_code import safe
from ml_intern.outbound.exporting.html_message import markdown_html

MAX_LOG = 4_000
"""Characters of a running call's output that are shown."""
MAX_THOUGHT = 400
MAX_OPEN = 50_000
"""Longest part, in characters, that is rendered again and again; longer ones are shown as plain text."""


@dataclass
class _Now:
    message_id: str = ""
    done: list[str] = field(default_factory=list[str])
    sent: int = 0
    open: str = ""
    thought: str = ""
    call: str = ""
    log: str = ""
    fresh: bool = True


class Live:
    """The activity of a thread between two complete messages.

    Finished blocks of a streamed reply are sent once; only the last one is sent again while it grows.
    """

    def __init__(self) -> None:
        self._now = _Now()

    def clear(self) -> None:
        """Show nothing."""
        self._now = _Now()

    def take(self, event: Mapping[str, Any]) -> bool:
        """Take an event. Return whether something changed."""
        data = event["data"]
        match event["type"]:
            case "assistant_chunk":
                self._chunk(data)
            case "tool_call":
                self.clear()
                self._now.call = data["name"]
            case "tool_log":
                self._now.call, self._now.log = data["name"], (self._now.log + data["text"])[-MAX_LOG:]
            case "assistant_message" | "tool_output" | "turn_complete" | "interrupted" | "approval_required":
                self.clear()
            case _:
                return False
        return True

    def whole(self) -> str:
        """Return all of it, for a page that is opened now."""
        if self._now.call:
            log = f'<pre class="log" tabindex="0">{safe(self._now.log)}</pre>' if self._now.log.strip() else ""
            return f'<p class="running">{safe(self._now.call)} is running</p>{log}'
        if not self._now.message_id:
            return ""
        thought = f'<p class="plain thought">{safe(self._now.thought[-MAX_THOUGHT:])}</p>' if self._now.thought else ""
        done = "".join(self._now.done)
        return (
            f'<section class="assistant"><h2 class="role">ml-intern</h2><div id="thought">{thought}</div>'
            f'<div id="done">{done}</div><div id="open">{self._open_html()}</div></section>'
        )

    def changes(self) -> str:
        """Return what changed since the last time, as partials of the page."""
        self._close_blocks()
        if self._now.fresh or self._now.call or not self._now.message_id:
            self._now.fresh, self._now.sent = False, len(self._now.done)
            return partial("#live", self.whole())
        added = "".join(self._now.done[self._now.sent :])
        self._now.sent = len(self._now.done)
        more = partial("#done", added, "beforeend") if added else ""
        return more + partial("#open", self._open_html())

    def _chunk(self, data: Mapping[str, Any]) -> None:
        if data["message_id"] != self._now.message_id:
            self.clear()
            self._now.message_id = data["message_id"]
        if data["kind"] == "text":
            self._now.fresh = self._now.fresh or bool(self._now.thought)
            self._now.thought = ""
            self._now.open += data["text"]
        elif not self._now.open and not self._now.done:
            self._now.thought += data["text"]
            self._now.fresh = True

    def _open_html(self) -> str:
        if len(self._now.open) > MAX_OPEN:
            return f'<p class="plain">{safe(self._now.open)}</p>'
        return markdown_html(self._now.open) if self._now.open.strip() else ""

    def _close_blocks(self) -> None:
        """Move the finished blocks of the open part to those that are done."""
        from markdown_it import MarkdownIt

        if "\n\n" not in self._now.open or len(self._now.open) > MAX_OPEN:
            return
        tokens = MarkdownIt("commonmark").enable("table").parse(self._now.open)
        starts = [token.map[0] for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
        if len(starts) > 1:
            lines = self._now.open.splitlines(keepends=True)
            self._now.done.append(markdown_html("".join(lines[: starts[-1]])))
            self._now.open = "".join(lines[starts[-1] :])


def partial(target: str, html: str, swap: str = "innerHTML") -> str:
    """Return a partial of the page for htmx."""
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'
