"""Tool calls as an editor shows them: a title, a kind, the files they are about, and diffs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acp import helpers
from acp.schema import FileEditToolCallContent, ToolCallLocation, ToolKind

from ml_intern.outbound.conversation import Call
from ml_intern.outbound.exporting.html_calls import call_title
from ml_intern.outbound.exporting.markdown import code_block
from ml_intern.text.file_changes import changes_file, file_change
from ml_intern.text.visible import visible

KINDS: Mapping[str, ToolKind] = {
    "read": "read",
    "write": "edit",
    "edit": "edit",
    "notebook": "edit",
    "bash": "execute",
    "jobs": "execute",
    "improve": "execute",
    "experiments": "execute",
    "sandbox": "execute",
    "plan": "think",
    "research": "search",
    "docs_search": "search",
    "hub_search": "search",
    "web_search": "search",
    "papers": "search",
    "docs_read": "fetch",
    "web_read": "fetch",
    "github": "fetch",
}
"""The kinds of tools; all others are "other"."""
MAX_SHOWN = 20_000
"""Characters of a result that are sent to the editor."""
Content = helpers.ToolCallContentVariant


def kind_of(name: str) -> ToolKind:
    """Return the kind of a tool."""
    return KINDS.get(name, "other")


def title_of(name: str, args: Mapping[str, Any]) -> str:
    """Return a call in one line."""
    about = args["path"] if isinstance(args.get("path"), str) else call_title(Call("", name, args))
    return visible(" ".join(f"{name} {about}".split()))


def locations_of(args: Mapping[str, Any], workspace: Path) -> list[ToolCallLocation] | None:
    """Return the file that a call is about."""
    path, line = args.get("path"), args.get("offset")
    if not isinstance(path, str) or not path or "\0" in path:
        return None
    return [ToolCallLocation(path=str(workspace / path), line=line if isinstance(line, int) and line > 0 else None)]


def change_of(name: str, args: Mapping[str, Any], workspace: Path) -> list[FileEditToolCallContent]:
    """Return the diff of a call that did not run yet and changes a file."""
    if not changes_file(name, args):
        return []
    before, after = file_change(args, workspace)
    return [helpers.tool_diff_content(str(workspace / str(args["path"])), after, before)]


def text_content(text: str) -> Sequence[Content]:
    """Return a text as it is, without formatting; of a long one the beginning and the end."""
    if not text.strip():
        return ()
    if len(text) > MAX_SHOWN:
        half = MAX_SHOWN // 2
        text = f"{text[:half]}\n[{len(text) - MAX_SHOWN:,} characters]\n{text[-half:]}"
    return [helpers.tool_content(helpers.text_block(code_block(visible(text))))]
