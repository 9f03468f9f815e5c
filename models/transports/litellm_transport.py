"""The litellm transport, for all providers without a direct one, through ChatLiteLLM of langchain-litellm."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import httpx
from langchain_core.messages import AIMessageChunk, BaseMessage

from ml_intern.configs.errors import ModelFailed
from ml_intern.models.catalog.prices import requested_output
from ml_intern.models.errors import (
    ContextOverflow,
    ErrorDetail,
    HttpAnswer,
    Refused,
    Retryable,
    ServerError,
    StreamBroken,
    clean_words,
    error_of,
    error_of_detail,
    overflow_of,
    read_detail,
)
from ml_intern.models.messages import SIGNED, Conversion, Wire
from ml_intern.models.openai_format import part_of_reply
from ml_intern.models.request import CallPart, ModelRequest, ReplyPart, Usage
from ml_intern.models.routing import Route
from ml_intern.models.transports.base import Timeouts, Trimming
from ml_intern.models.transports.http import FEW_RETRIES, error_of_httpx
from ml_intern.models.transports.litellm_loading import CHAT_MODULE, import_litellm
from ml_intern.models.transports.pace import paced, stalled

if TYPE_CHECKING:
    from langchain_core.outputs import ChatGenerationChunk

    from ml_intern.models.transports.litellm_chat import Sent

CACHING = ("anthropic/", "bedrock/anthropic", "bedrock/us.anthropic", "bedrock/eu.anthropic", "vertex_ai/claude",
           "openrouter/anthropic/")  # fmt: skip
"""Models whose prompt cache needs marks; the others cache automatically."""
LIMITED = ("anthropic/", "bedrock/", "vertex_ai/claude")
"""Models that need an output limit; litellm's default of 4,096 tokens truncates longer files."""
GRACE_S = 5


class LiteLLMTransport:
    """Calls all providers that litellm supports."""

    def __init__(self, waits: Timeouts) -> None:
        self._waits = waits
        self._loaded = False
        self._wires = Conversion(lambda wire: wire)

    async def stream(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart, None]:
        """Yield the fragments of one reply. Raises the errors of models.errors."""
        if not self._loaded:  # sys.modules has it while it is still being imported
            await asyncio.to_thread(import_litellm)
            self._loaded = True
        from ml_intern.models.transports.litellm_chat import OBSERVED, ObservedCall, ended

        sent, observed = self._sent(route, request, trimming), ObservedCall()
        OBSERVED.set(observed)
        try:
            async with aclosing(paced(_parts(sent, request), route, self._idle_s(request), GRACE_S)) as parts:
                async for part in parts:
                    yield part
        except Retryable:
            raise
        except Exception as error:
            raise error_of_litellm(error, observed.refusal, route, self._waits) from error
        if request.stream and not ended(sent.answer):
            raise _unfinished(observed.refusal, route)

    async def close(self) -> None:
        """Close litellm's clients."""
        if CHAT_MODULE in sys.modules:
            from ml_intern.models.transports.litellm_chat import close_clients

            await close_clients()

    def _idle_s(self, request: ModelRequest) -> float:
        return self._waits.idle_s if request.stream else self._waits.whole_s

    def _sent(self, route: Route, request: ModelRequest, trimming: Trimming) -> "Sent":
        from ml_intern.models.transports.litellm_chat import Sent, supports_effort

        wires = self._wires(request.messages, request.model, trimming)
        call: dict[str, Any] = dict(request.params)
        if request.tools:
            call["tools"] = [{**tool, "function": {**tool["function"]}} for tool in request.tools]
        if request.effort and not trimming.options and supports_effort(route.name):
            call["reasoning_effort"] = request.effort
        if route.name.startswith(LIMITED):
            call.setdefault("max_tokens", requested_output(route.name))
        return Sent(
            messages=[_own_copy(wire) for _, wire in wires],
            sources=[message for message, _ in wires],
            fields={
                "model": route.name,
                "api_key": route.key,
                "api_base": route.base_url,
                "request_timeout": self._idle_s(request),
            },
            call=call,
            cache_marks=route.name.startswith(CACHING),
        )


async def _parts(sent: "Sent", request: ModelRequest) -> AsyncGenerator[ReplyPart, None]:
    from ml_intern.models.transports.litellm_chat import Chat, reported_usage

    chat = Chat.of(sent)
    if not request.stream:
        message = await chat.ainvoke(sent.sources, **sent.call)
        whole = part_of_reply(sent.answer.model_dump(), {})
        yield replace(whole, extras=_signed_extras(message))
        return
    usage: Usage | None = None
    try:
        async with aclosing(cast("AsyncGenerator[ChatGenerationChunk, None]", chat.fragments())) as stream:
            async for fragment in stream:
                usage = _usage(fragment.message) or usage
                yield _part(fragment.message)
    finally:
        await sent.close()
    yield ReplyPart(usage=usage if reported_usage(sent.answer) else None)


def error_of_litellm(error: Exception, refusal: HttpAnswer | None, route: Route, waits: Timeouts) -> Exception:
    """Convert an exception of litellm to an error, by the HTTP response if there was one, otherwise by its class."""
    from litellm import exceptions

    if isinstance(error, exceptions.ContextWindowExceededError):
        detail = read_detail(refusal.body) if refusal else ErrorDetail(message=str(error))
        return overflow_of(400, detail) or ContextOverflow("the conversation exceeds the model's context window")
    if refusal:
        return error_of(refusal, route)
    if isinstance(error, exceptions.ContentPolicyViolationError):
        return Refused("the provider's content filter refused the request", "rephrase the task")
    if http := _httpx_error(error):
        return error_of_httpx(http, route, waits)
    if isinstance(error, exceptions.Timeout):
        return stalled(route, waits.idle_s)
    status = getattr(error, "status_code", None)
    if isinstance(error, exceptions.MidStreamFallbackError) and status in (None, 500, 503):
        return StreamBroken(f"{route.where} sent an error within its reply")
    return _by_status(error, status, route)


def _by_status(error: Exception, status: object, route: Route) -> Exception:
    """Convert an exception that has only a status, which litellm may have invented."""
    from litellm.exceptions import APIConnectionError

    message = str(error)
    if isinstance(error, APIConnectionError | LookupError) or status == 200:
        reason = clean_words((message.splitlines() or [""])[0], route)
        return ServerError(f"could not read a reply from {route.where}: {reason}", retries=FEW_RETRIES)
    if isinstance(status, int) and 400 <= status < 600:
        return error_of_detail(status, ErrorDetail(message=str(getattr(error, "message", ""))), route)
    reason = clean_words((message.splitlines() or [""])[0], route)
    return ModelFailed(f"the call to {route.where} failed{f': {reason}' if reason else ''}")


def _unfinished(refusal: HttpAnswer | None, route: Route) -> Exception:
    return error_of(refusal, route) if refusal else StreamBroken(f"the reply of {route.where} is incomplete")


def _httpx_error(error: BaseException) -> httpx.HTTPError | None:
    """Return the httpx error behind an exception, in any of the ways litellm wraps one."""
    from ml_intern.models.transports.litellm_chat import RepeatedRequest

    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, httpx.HTTPError) and not isinstance(one, httpx.HTTPStatusError | RepeatedRequest):
            return one
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            waiting += [getattr(one, "original_exception", None), one.__cause__, one.__context__]
    return None


def _part(chunk: BaseMessage) -> ReplyPart:
    calls = chunk.tool_call_chunks if isinstance(chunk, AIMessageChunk) else []
    return ReplyPart(
        text=chunk.content if isinstance(chunk.content, str) else "",
        reasoning=chunk.additional_kwargs.get("reasoning_content") or "",
        calls=tuple(CallPart(call["index"], call["id"], call["name"], call["args"] or "") for call in calls),
        finish=chunk.response_metadata.get("finish_reason"),
        extras=_signed_extras(chunk),
    )


def _signed_extras(message: BaseMessage) -> dict[str, Any] | None:
    return {key: message.additional_kwargs[key] for key in SIGNED if message.additional_kwargs.get(key)} or None


def _usage(chunk: BaseMessage) -> Usage | None:
    reported = chunk.usage_metadata if isinstance(chunk, AIMessageChunk) else None
    if not reported:
        return None
    read, written = reported.get("input_token_details", {}), reported.get("output_token_details", {})
    cost = chunk.response_metadata.get("response_cost")
    return Usage(
        input_tokens=reported["input_tokens"],
        output_tokens=reported["output_tokens"],
        cached_tokens=read.get("cache_read", 0),
        cache_write_tokens=read.get("cache_creation", 0),
        reasoning_tokens=written.get("reasoning", 0),
        cost_usd=float(cost) if isinstance(cost, int | float) else None,
    )


def _own_copy(wire: Wire) -> Wire:
    """Copy a message: litellm changes the messages it gets."""
    own = wire.copy()
    if "tool_calls" in own:
        own["tool_calls"] = [{**call, "function": call["function"].copy()} for call in own["tool_calls"]]
    return own
