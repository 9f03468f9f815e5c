"""Create a thread from an imported conversation. It can be continued; the imported turns cannot be undone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.types import Overwrite

from ml_intern.graph.state import STEERED, TYPED, Outcome, note, result_message
from ml_intern.session.listing import title_of
from ml_intern.session.turns.turns import LAST_NODE, TITLE, Turns

if TYPE_CHECKING:
    from ml_intern.outbound.conversation import Conversation, Message
    from ml_intern.store.threads import ThreadRow

IMPORT_NOTE = (
    "This conversation was imported from the file {name}. Its tools, folders and running work may be gone or different "
    "here: check before you rely on them."
)


async def import_thread(turns: Turns, conversation: "Conversation", folder: str, name: str) -> "ThreadRow":
    """Write a conversation with paired calls to the locked, empty thread of `turns`, and return the thread's row.

    Imported text does not count as typed by the user, so hosts named in it are not trusted destinations.
    """
    store = turns.services.store
    messages = as_messages(conversation.messages)
    users = [one.text for one in conversation.messages if one.role == "user" and not one.steered]
    await store.threads.create(id=turns.thread_id, title=title_of(conversation.title), folder=folder, turns=len(users))
    values: dict[str, Any] = {
        "messages": Overwrite([*messages, note(IMPORT_NOTE.format(name=name), f"import_{uuid4().hex}")]),
        "recent_calls": Overwrite([]),
        "file_reads": Overwrite(dict(conversation.file_reads)),
        "turn": len(users),
        "turn_text": users[-1][:TITLE] if users else "",
        "turn_before": None,
        "iteration": 0,
        "replies": sum(message.type == "ai" for message in messages),
        "taint": [f"the imported file {name}"],
        "outcome": Outcome(status="done", text="", exit_code=0),
    }
    await turns.app.aupdate_state(turns.config(), cast(Any, values), as_node=LAST_NODE)
    return await store.threads.update(turns.thread_id, state="idle")


def as_messages(found: "Sequence[Message]") -> list[AnyMessage]:
    """Convert messages to those of a thread, with new ids. Every result follows the reply of its call."""
    messages: list[AnyMessage] = []
    reply, calls = AIMessage(""), dict[str, Any]()
    for message in found:
        if message.role == "tool":
            messages.append(result_message(calls[message.call_id], reply, message.text, ok=message.ok))
        elif message.role == "assistant":
            reply = _reply(message)
            calls = {str(call["id"]): call for call in reply.tool_calls}
            messages.append(reply)
        elif message.role == "note":
            messages.append(note(message.text, f"note_{uuid4().hex}"))
        else:
            messages.append(_users(message))
    return messages


def _reply(message: "Message") -> AIMessage:
    calls = [{"id": call.id, "name": call.name, "args": dict(call.args), "type": "tool_call"} for call in message.calls]
    kwargs = {"reasoning_content": message.reasoning} if message.reasoning else {}
    return AIMessage(message.text, id=f"msg_{uuid4().hex}", tool_calls=calls, additional_kwargs=kwargs)


def _users(message: "Message") -> HumanMessage:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
    content: Any = [{"type": "text", "text": message.text}, *images] if images else message.text
    return HumanMessage(
        content, id=f"user_{uuid4().hex}", additional_kwargs={TYPED: "", **({STEERED: True} if message.steered else {})}
    )
