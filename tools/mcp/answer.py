"""A server's answer as the result of a call: text as a stranger's, images beside it, structured content where alone."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolResult
from ml_intern.execution.provenance import untrusted_result

if TYPE_CHECKING:
    from langchain_core.messages import ToolMessage

MAX_IMAGES = 8
MAX_IMAGE_BYTES = 5_000_000
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


def source_of(server: str) -> str:
    """How a server is called among the sources of outside text, and as a destination."""
    return f"mcp:{server}"


def result_of(message: "ToolMessage", server: str) -> ToolResult:
    """What the model gets of an answer; it leaves the server's taint."""
    blocks = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    lines: list[str] = []
    images: list[str] = []
    for block in blocks:
        _take(block if isinstance(block, Mapping) else {"type": "text", "text": str(block)}, lines, images)
    structured = (message.artifact or {}).get("structured_content") if isinstance(message.artifact, Mapping) else None
    if structured is not None and not any(line.strip() for line in lines):
        lines.append(json.dumps(structured, ensure_ascii=False, indent=1))
    ok = message.status != "error"
    shown = untrusted_result("\n".join(lines) or "(nothing)", source_of(server), ok=ok)
    text = shown.text if ok else f"error: the server reports a failure\n{shown.text}"
    return ToolResult(text, ok=shown.ok, status=shown.status, taint=shown.taint, images=tuple(images))


def _take(block: Mapping[str, Any], lines: list[str], images: list[str]) -> None:
    kind, mime = str(block.get("type", "")), str(block.get("mime_type") or "")
    data = block.get("base64")
    if kind == "text":
        lines.append(str(block.get("text", "")))
    elif not isinstance(data, str):
        lines.append(f"[{kind} at {block.get('url', 'an unknown place')}]")
    elif kind == "image" and mime in IMAGE_TYPES and len(images) < MAX_IMAGES and len(data) <= MAX_IMAGE_BYTES:
        images.append(f"data:{mime};base64,{data}")
        lines.append(f"[image {len(images)}, {mime}, {len(data) * 3 // 4:,} bytes]")
    else:
        lines.append(f"[{kind}, {mime or 'of unknown type'}, {len(data) * 3 // 4:,} bytes: not shown]")
