"""Convert a server's response to a tool result: untrusted text, images, or structured content if there is no text."""

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


def source_name(server: str) -> str:
    """Return the name of a server as a source of outside text and as a destination."""
    return f"mcp:{server}"


def to_tool_result(message: "ToolMessage", server: str) -> ToolResult:
    """Convert a response to the model's result, tainted by the server."""
    blocks = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    lines: list[str] = []
    images: list[str] = []
    for block in blocks:
        _add_block(block if isinstance(block, Mapping) else {"type": "text", "text": str(block)}, lines, images)
    structured = (message.artifact or {}).get("structured_content") if isinstance(message.artifact, Mapping) else None
    if structured is not None and not any(line.strip() for line in lines):
        lines.append(json.dumps(structured, ensure_ascii=False, indent=1))
    ok = message.status != "error"
    shown = untrusted_result("\n".join(lines) or "(empty)", source_name(server), ok=ok)
    text = shown.text if ok else f"error: the server reported a failure\n{shown.text}"
    return ToolResult(text, ok=shown.ok, status=shown.status, taint=shown.taint, images=tuple(images))


def _add_block(block: Mapping[str, Any], lines: list[str], images: list[str]) -> None:
    kind, mime = str(block.get("type", "")), str(block.get("mime_type") or "")
    data = block.get("base64")
    if kind == "text":
        lines.append(str(block.get("text", "")))
    elif not isinstance(data, str):
        lines.append(f"[{kind} at {block.get('url', 'an unknown address')}]")
    elif kind == "image" and mime in IMAGE_TYPES and len(images) < MAX_IMAGES and len(data) <= MAX_IMAGE_BYTES:
        images.append(f"data:{mime};base64,{data}")
        lines.append(f"[image {len(images)}, {mime}, {len(data) * 3 // 4:,} bytes]")
    else:
        lines.append(f"[{kind}, {mime or 'unknown type'}, {len(data) * 3 // 4:,} bytes, not shown]")
