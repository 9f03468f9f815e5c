"""FORMATS: what a conversation can be exported as."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ml_intern.configs.version import version
from ml_intern.outbound.conversation import Call, Conversation, Message
from ml_intern.outbound.exporting.claude_code import to_claude_code
from ml_intern.outbound.exporting.event_lines import to_event_lines
from ml_intern.outbound.exporting.html_page import to_html
from ml_intern.outbound.exporting.markdown import to_markdown
from ml_intern.outbound.exporting.openai_messages import to_openai
from ml_intern.outbound.exporting.sts import to_sts
from ml_intern.safety.secrets.redaction import redact


@dataclass(frozen=True)
class Format:
    """A format: what it is for, and the text of a conversation in it."""

    meaning: str
    write: Callable[[Conversation], str]


FORMATS: dict[str, Format] = {
    "markdown": Format("a document to read", to_markdown),
    "openai": Format("messages as OpenAI and litellm take them", to_openai),
    "events": Format("the lines of stream-json, rebuilt", lambda whole: to_event_lines(whole, version())),
    "sts": Format("a trace as the Hub's viewer shows it", to_sts),
    "claude-code": Format("a session file of Claude Code, for viewers of those", to_claude_code),
    "html": Format("one page to read and share; it loads nothing", to_html),
}


def exported(conversation: Conversation, name: str) -> str:
    """The conversation in the format of that name, secrets replaced once more. KeyError when there is none."""
    return FORMATS[name].write(redacted(conversation))


def redacted(conversation: Conversation) -> Conversation:
    """The conversation with every text redacted: rules learned since it was written hold for it too."""
    messages = tuple(_admitted(message) for message in conversation.messages)
    endings = {turn: replace(end, text=redact(end.text)) for turn, end in conversation.endings.items()}
    return replace(conversation, messages=messages, endings=endings, title=redact(conversation.title))


def _admitted(message: Message) -> Message:
    calls = tuple(Call(call.id, call.name, _value(dict(call.args))) for call in message.calls)
    return replace(message, text=redact(message.text), reasoning=redact(message.reasoning), calls=calls)


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    return [_value(item) for item in value] if isinstance(value, list | tuple) else value
