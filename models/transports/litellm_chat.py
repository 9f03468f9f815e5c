"""ChatLiteLLM as the gateway needs it. Importing this module imports litellm, which takes seconds."""

from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
import litellm
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_litellm import ChatLiteLLM
from litellm.litellm_core_utils.streaming_chunk_builder_utils import ChunkProcessor
from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
from pydantic import PrivateAttr

from ml_intern.models.errors import HttpAnswer
from ml_intern.models.messages import Wire

litellm.suppress_debug_info = True  # it prints a banner to stdout with every error
litellm.modify_params = True  # a history with calls and no tools, empty texts and the like are made acceptable
litellm.disable_token_counter = True  # it counts whole histories on the event loop; providers send what counts
litellm.disable_aiohttp_transport = True  # one HTTP client for all: the hooks below see every answer


@dataclass
class ObservedCall:
    """What the HTTP client saw of one call."""

    refusal: HttpAnswer | None = None
    """An answer that is no reply: no success, or a web page."""
    urls: set[httpx.URL] = field(default_factory=set[httpx.URL])


OBSERVED: ContextVar[ObservedCall | None] = ContextVar("observed", default=None)
CLIENTS: list[httpx.AsyncClient] = []
"""Every client litellm made in this process."""


class AskedTwice(httpx.ReadError):
    """litellm tried to repeat a request by itself; why it did is in the context of this error."""


async def once_only(request: httpx.Request) -> None:
    """Let a call ask each address once: litellm tries lost connections again by itself, unseen and maybe paid twice."""
    observed = OBSERVED.get()
    if observed is not None and request.method == "POST":
        if request.url in observed.urls:
            raise AskedTwice("the connection was lost")
        observed.urls.add(request.url)


async def note_refusal(response: httpx.Response) -> None:
    """Keep status, headers and body of an answer that is no reply: litellm's exceptions lose parts of them."""
    observed = OBSERVED.get()
    if observed is None:
        return
    if not response.is_success or "text/html" in response.headers.get("content-type", ""):
        await response.aread()
        headers = {name.lower(): value for name, value in response.headers.items()}
        observed.refusal = HttpAnswer(response.status_code, headers, response.content)


def guarded(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The client, following no redirect (it would carry keys in headers of other names than Authorization)."""
    client.follow_redirects = False
    hooks = client.event_hooks
    client.event_hooks = {"request": [*hooks["request"], once_only], "response": [*hooks["response"], note_refusal]}
    CLIENTS.append(client)
    return client


def _guarding(create: Callable[..., httpx.AsyncClient]) -> Callable[..., httpx.AsyncClient]:
    def create_client(self: AsyncHTTPHandler, *args: Any, **kwargs: Any) -> httpx.AsyncClient:
        return guarded(create(self, *args, **kwargs))

    return create_client


def _without_signatures(messages: list[Wire], separator: str) -> list[Wire]:
    """The messages as they are when no id of a call holds a signature of Gemini's, as of any other provider none does.

    litellm copies every message three times over to find that out.
    """
    signed = any(separator in str(call["id"]) for wire in messages for call in wire.get("tool_calls") or ())
    return _cleaned(messages, separator) if signed else messages


_cleaned = litellm.utils._remove_thought_signatures_from_messages
litellm.utils._remove_thought_signatures_from_messages = _without_signatures  # type: ignore[assignment]

# litellm has no setting for either, and makes its clients in many places; all of them end here.
AsyncHTTPHandler.create_client = _guarding(AsyncHTTPHandler.create_client)  # type: ignore[method-assign]


@dataclass
class Sent:
    """One call on its way: the messages as converted by us, and what litellm answered."""

    messages: list[Wire]
    sources: list[BaseMessage]
    """The message each of them was made of: ChatLiteLLM takes signed thinking from it."""
    cache_marks: bool = False
    """Mark the system prompt and the newest message for the provider's prompt cache."""
    answer: Any = None
    """The stream or the whole response."""
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """Where the call goes, as ChatLiteLLM's fields."""
    call: dict[str, Any] = field(default_factory=dict[str, Any])
    """What else is asked for: tools, parameters."""

    async def close(self) -> None:
        """Hang up a stream, read to its end or not."""
        if hasattr(self.answer, "aclose"):
            await self.answer.aclose()


class Chat(ChatLiteLLM):
    """One call of ChatLiteLLM: our messages, no retry of its own, its raw answer kept."""

    _sent: Sent = PrivateAttr()

    @classmethod
    def of(cls, sent: Sent) -> "Chat":
        """A chat model for one call."""
        chat = cls(**sent.fields)
        chat._sent = sent
        return chat

    def _create_message_dicts(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 - converted before, each once
        stop: list[str] | None,  # noqa: ARG002
    ) -> tuple[list[Wire], dict[str, Any]]:
        return list(self._sent.messages), self._client_params

    async def acompletion_with_retry(self, run_manager: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002
        """Ask litellm once; retries are the gateway's."""
        if self._sent.cache_marks:
            kwargs["messages"] = marked_for_cache(kwargs["messages"])
        if litellm.aclient_session is None:  # what the providers reached through OpenAI's SDK use
            litellm.aclient_session = guarded(httpx.AsyncClient())
        self._sent.answer = await litellm.acompletion(**kwargs, max_retries=0, num_retries=0)
        if isinstance(self._sent.answer, CustomStreamWrapper):
            end_plainly(self._sent.answer)
        return self._sent.answer

    def fragments(self) -> AsyncIterator[ChatGenerationChunk]:
        """The reply as it comes, without the callbacks of LangChain: the gateway tells of a call and its cost."""
        return self._astream(self._sent.sources, **self._sent.call)


def end_plainly(stream: CustomStreamWrapper) -> None:
    """Let a stream end with its usage alone.

    Of its own accord litellm then puts the reply together twice, prices it three times and hands it to its loggers, of
    which there are none: as much work as all of the rest of a call.
    """
    finalize = stream._finalize_completed_stream

    async def end(cache_hit: bool) -> Any:  # noqa: FBT001 - the signature of what it replaces
        if not stream.sent_last_chunk:
            return await finalize(cache_hit=cache_hit)
        if stream.sent_stream_usage or not reported_usage(stream):
            raise StopAsyncIteration
        stream.sent_stream_usage = True
        last = stream.model_response_creator()
        usage = ChunkProcessor(stream.chunks).calculate_usage(stream.chunks, model=stream.model, completion_output="")
        last.usage = usage
        return last

    stream._finalize_completed_stream = end  # type: ignore[method-assign]


def marked_for_cache(messages: list[Wire]) -> list[Wire]:
    """The messages with a cache mark on the system prompt and on the newest one.

    Done last: ChatLiteLLM compares histories to decide whether signed thinking may be replayed.
    """
    places = {len(messages) - 1, *(place for place, wire in enumerate(messages[:1]) if wire["role"] == "system")}
    return [_marked(wire) if place in places else wire for place, wire in enumerate(messages)]


def _marked(wire: Wire) -> Wire:
    content = wire["content"]
    if not content:
        return wire
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
    blocks[-1] = {**blocks[-1], "cache_control": {"type": "ephemeral"}}
    return {**wire, "content": blocks}


def ended(answer: Any) -> bool:
    """The provider itself said that the stream is at its end: litellm invents a finish_reason where it did not."""
    if not hasattr(answer, "received_finish_reason"):
        return True
    return bool(answer.received_finish_reason or getattr(answer, "intermittent_finish_reason", None))


def reported_usage(answer: Any) -> bool:
    """The provider itself sent usage: litellm estimates it, unmarked, where it did not."""
    chunks = getattr(answer, "chunks", None)
    return chunks is None or any(getattr(chunk, "usage", None) for chunk in chunks)


def supports_effort(model: str) -> bool:
    """The model takes reasoning_effort, as far as litellm knows."""
    return bool(litellm.supports_reasoning(model))


async def close_clients() -> None:
    """Close what litellm keeps open and forget its clients, which belong to this event loop."""
    litellm.in_memory_llm_clients_cache.flush_cache()  # type: ignore[no-untyped-call]
    litellm.aclient_session = None
    while CLIENTS:
        await CLIENTS.pop().aclose()
