"""Prompts of an editor as messages of the user."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from acp.schema import (
    AudioContentBlock,
    EmbeddedResourceContentBlock,
    ImageContentBlock,
    ResourceContentBlock,
    TextContentBlock,
    TextResourceContents,
)

from ml_intern.configs.errors import UsageError
from ml_intern.graph.operations import UserInput

if TYPE_CHECKING:
    from ml_intern.session.mentions import Expanded

Block = TextContentBlock | ImageContentBlock | AudioContentBlock | ResourceContentBlock | EmbeddedResourceContentBlock


def user_input(blocks: Sequence[Block], expand: "Callable[[str], Expanded]") -> UserInput:
    """Return the message of a prompt. `expand` adds the files that a text names as @path. Raises UsageError.

    Links to files become mentions. Embedded text is added; if it is not a local file's, its address is a source.
    """
    for block in blocks:
        if isinstance(block, AudioContentBlock):
            raise UsageError("audio cannot be sent to the model", "write the message")
    typed = "".join(filter(None, map(_typed, blocks))).strip()
    images = tuple(_image_url(block) for block in blocks if isinstance(block, ImageContentBlock))
    if not typed and not images:
        raise UsageError("the prompt is empty", "write something")
    expanded = expand(typed)
    embedded = list(_embedded(blocks))
    text = "\n\n".join([expanded.text, *(text for text, _ in embedded)])
    sources = dict.fromkeys([*expanded.sources, *(source for _, source in embedded if source)])
    return UserInput(text, typed=typed, images=(*expanded.images, *images), sources=tuple(sources))


def _typed(block: Block) -> str | None:
    """Return what a block contributes to the text that the user typed."""
    if isinstance(block, TextContentBlock):
        return block.text
    if isinstance(block, ResourceContentBlock):
        path = local_path(block.uri)
        return f' @"{path}" ' if path else f" {block.uri} "
    if isinstance(block, EmbeddedResourceContentBlock):
        return f" {local_path(block.resource.uri) or block.resource.uri} "
    return None


def _embedded(blocks: Iterable[Block]) -> Iterable[tuple[str, str]]:
    """Yield the text of each embedded resource with its source, "" for a local file."""
    for block in blocks:
        if isinstance(block, EmbeddedResourceContentBlock) and isinstance(block.resource, TextResourceContents):
            path = local_path(block.resource.uri)
            name = (path or block.resource.uri).replace('"', "%22")
            yield f'<file path="{name}">\n{block.resource.text.rstrip()}\n</file>', "" if path else block.resource.uri


def _image_url(block: ImageContentBlock) -> str:
    if not block.mime_type.startswith("image/"):
        raise UsageError(f"{block.mime_type[:50]} is not an image", "attach PNG, JPEG, GIF or WebP")
    return f"data:{block.mime_type};base64,{block.data}"


def local_path(uri: str) -> str:
    """Return the path of a file URI; "" for any other address."""
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" and parts.netloc in ("", "localhost") else ""
