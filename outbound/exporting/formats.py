"""FORMATS, the table of export formats, and redaction before an export."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ml_intern.configs.version import version
from ml_intern.outbound.conversation import Call, Conversation, Message
from ml_intern.outbound.exporting.claude_code import to_claude_code
from ml_intern.outbound.exporting.event_lines import render_events
from ml_intern.outbound.exporting.html_page import to_html
from ml_intern.outbound.exporting.machine_paths import shorten_paths
from ml_intern.outbound.exporting.markdown import to_markdown
from ml_intern.outbound.exporting.openai_messages import to_openai
from ml_intern.outbound.exporting.sts import to_sts
from ml_intern.safety.secrets.redaction import redact, redact_value


@dataclass(frozen=True)
class ExportFormat:
    """An export format: its description and the function that renders a conversation."""

    description: str
    write: Callable[[Conversation], str]
    is_shared: bool = False
    """A document for readers elsewhere: paths of this machine are shortened."""


FORMATS: dict[str, ExportFormat] = {
    "markdown": ExportFormat("a readable document", to_markdown, is_shared=True),
    "openai": ExportFormat("messages in the format of OpenAI and litellm", to_openai),
    "events": ExportFormat(
        "stream-json lines, rebuilt from the conversation", lambda whole: render_events(whole, version())
    ),
    "sts": ExportFormat("a trace for the Hub's trace viewer", to_sts),
    "claude-code": ExportFormat("a Claude Code session file", to_claude_code),
    "html": ExportFormat("one self-contained page to read and share", to_html, is_shared=True),
}


def export_conversation(conversation: Conversation, name: str) -> str:
    """Return the conversation in the named format, redacted again. Raises KeyError for an unknown format."""
    chosen, redacted = FORMATS[name], redact_conversation(conversation)
    return chosen.write(shorten_paths(redacted) if chosen.is_shared else redacted)


def redact_conversation(conversation: Conversation) -> Conversation:
    """Return the conversation with every text redacted again, which covers secrets registered since."""
    messages = tuple(_redact_message(message) for message in conversation.messages)
    endings = {turn: replace(end, text=redact(end.text)) for turn, end in conversation.endings.items()}
    return replace(conversation, messages=messages, endings=endings, title=redact(conversation.title))


def _redact_message(message: Message) -> Message:
    calls = tuple(Call(call.id, call.name, redact_value(dict(call.args))) for call in message.calls)
    return replace(message, text=redact(message.text), reasoning=redact(message.reasoning), calls=calls)
