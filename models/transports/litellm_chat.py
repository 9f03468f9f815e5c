"""ChatLiteLLM adapted to the gateway. Importing this module imports litellm, which takes seconds."""

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

litellm.suppress_debug_info = True  # else it prints a banner to stdout with every error
litellm.modify_params = True  # adapt histories with calls but no tools, empty texts and the like
litellm.disable_token_counter = True  # else it counts whole histories on the event loop; providers send the usage
litellm.disable_aiohttp_transport = True  # one HTTP client for all: the hooks below see every response


@dataclass
class ObservedCall:
    """The observations of the HTTP client for one call."""

    refusal: HttpAnswer | None = None
    """A response that is not a reply: an error, or a web page."""
    urls: set[httpx.URL] = field(default_factory=set[httpx.URL])


OBSERVED: ContextVar[ObservedCall | None] = ContextVar("observed", default=None)
CLIENTS: list[httpx.AsyncClient] = []
"""All clients litellm created in this process."""


class RepeatedRequest(httpx.ReadError):
    """litellm tried to repeat a request by itself. The reason is in the context of this error."""


async def once_only(request: httpx.Request) -> None:
    """Allow one request per address and call: litellm silently repeats lost ones, which may be billed twice."""
    observed = OBSERVED.get()
    if observed is not None and request.method == "POST":
        if request.url in observed.urls:
            raise RepeatedRequest("the connection was lost")
        observed.urls.add(request.url)


async def note_refusal(response: httpx.Response) -> None:
    """Record status, headers and body of a response that is not a reply: litellm's exceptions lose parts of them."""
    observed = OBSERVED.get()
    if observed is None:
        return
    if not response.is_success or "text/html" in response.headers.get("content-type", ""):
        await response.aread()
        headers = {name.lower(): value for name, value in response.headers.items()}
        observed.refusal = HttpAnswer(response.status_code, headers, response.content)


def guarded(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Add the hooks to a client and disable redirects, which would forward keys in headers other than Authorization."""
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
    """Return the messages unchanged unless a call's id contains a signature, which only Gemini's do.

    litellm copies every message three times to find that out.
    """
    signed = any(separator in str(call["id"]) for wire in messages for call in wire.get("tool_calls") or ())
    return _cleaned(messages, separator) if signed else messages


_cleaned = litellm.utils._remove_thought_signatures_from_messages
litellm.utils._remove_thought_signatures_from_messages = _without_signatures  # type: ignore[assignment]

# litellm has no setting for either. It creates its clients in many places, all through this method.
AsyncHTTPHandler.create_client = _guarding(AsyncHTTPHandler.create_client)  # type: ignore[method-assign]


@dataclass
class Sent:
    """One call: the converted messages, and litellm's response."""

    messages: list[Wire]
    sources: list[BaseMessage]
    """The source of each message: ChatLiteLLM takes signed thinking from it."""
    cache_marks: bool = False
    """Mark the system prompt and the last message for the provider's prompt cache."""
    answer: Any = None
    """The stream or the complete response."""
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """The model, key and address, as fields of ChatLiteLLM."""
    call: dict[str, Any] = field(default_factory=dict[str, Any])
    """Tools and further parameters."""

    async def close(self) -> None:
        """Close the stream, whether or not it was read to its end."""
        if hasattr(self.answer, "aclose"):
            await self.answer.aclose()


class Chat(ChatLiteLLM):
    """One call of ChatLiteLLM, with converted messages, without retries, with access to the raw response."""

    _sent: Sent = PrivateAttr()

    @classmethod
    def of(cls, sent: Sent) -> "Chat":
        """Create a chat model for one call."""
        chat = cls(**sent.fields)
        chat._sent = sent
        return chat

    def _create_message_dicts(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 - already converted
        stop: list[str] | None,  # noqa: ARG002
    ) -> tuple[list[Wire], dict[str, Any]]:
        return list(self._sent.messages), self._client_params

    async def acompletion_with_retry(self, run_manager: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002
        """Call litellm once. The gateway does the retries."""
        if self._sent.cache_marks:
            kwargs["messages"] = marked_for_cache(kwargs["messages"])
        if litellm.aclient_session is None:  # used for providers reached through OpenAI's SDK
            litellm.aclient_session = guarded(httpx.AsyncClient())
        self._sent.answer = await litellm.acompletion(**kwargs, max_retries=0, num_retries=0)
        if isinstance(self._sent.answer, CustomStreamWrapper):
            end_plainly(self._sent.answer)
        return self._sent.answer

    def fragments(self) -> AsyncIterator[ChatGenerationChunk]:
        """Stream the reply without LangChain's callbacks: the gateway reports calls and their cost."""
        return self._astream(self._sent.sources, **self._sent.call)


def end_plainly(stream: CustomStreamWrapper) -> None:
    """Let a stream end with its usage only.

    Otherwise litellm assembles the reply twice, computes its price three times and passes it to its loggers, although
    there are none. That is as much work as the rest of a call.
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
    """Return the messages with a cache mark on the system prompt and on the last one.

    This comes last: ChatLiteLLM compares histories to decide whether signed thinking may be replayed.
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
    """Return whether the provider itself ended the stream: litellm invents a finish_reason where it did not."""
    if not hasattr(answer, "received_finish_reason"):
        return True
    return bool(answer.received_finish_reason or getattr(answer, "intermittent_finish_reason", None))


def reported_usage(answer: Any) -> bool:
    """Return whether the provider itself sent usage: litellm estimates it, unmarked, where it did not."""
    chunks = getattr(answer, "chunks", None)
    return chunks is None or any(getattr(chunk, "usage", None) for chunk in chunks)


def supports_effort(model: str) -> bool:
    """Return whether litellm lists reasoning_effort for the model."""
    return bool(litellm.supports_reasoning(model))


async def close_clients() -> None:
    """Close litellm's clients, which belong to this event loop."""
    litellm.in_memory_llm_clients_cache.flush_cache()  # type: ignore[no-untyped-call]
    litellm.aclient_session = None
    while CLIENTS:
        await CLIENTS.pop().aclose()
