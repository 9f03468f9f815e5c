"""Functions of a Python program as tools of its agent."""

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError, validate_call

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
_LOG = logging.getLogger("ml_intern")
Submit = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Tool:
    """A function that the model can call. The model sees its name, docstring and annotated parameters.

    A function that is not a coroutine function runs in a thread. Its result is text, or any value that JSON can
    represent. An exception becomes a failed result.
    """

    function: Callable[..., Any]
    read_only: bool = False
    """It changes nothing, so its calls need no approval and run side by side."""
    timeout_s: float | None = None
    """Seconds after which a call fails; None means the default of tools."""
    untrusted: bool = False
    """Its results contain text from outside, such as web pages."""
    name: str = ""
    """The name for the model; by default that of the function."""

    @property
    def title(self) -> str:
        """The name for the model."""
        return self.name or str(getattr(self.function, "__name__", ""))

    def as_json(self) -> dict[str, Any]:
        """Return the offer of the tool. Raises TypeError if the function cannot be a tool."""
        offer = {"name": self.title, "description": self._description(), "parameters": self._parameters()}
        limit = {} if self.timeout_s is None else {"timeout_s": self.timeout_s}
        return {**offer, "read_only": self.read_only, **limit}

    async def run(self, args: dict[str, Any]) -> dict[str, Any]:
        """Call the function. Return the fields of `tool_result`."""
        try:
            value = await self._value(args)
        except ValidationError as error:
            return {"text": f"invalid arguments: {error}", "ok": False}
        except Exception as error:  # noqa: BLE001 any error of the function is reported to the model
            _LOG.warning("the tool %s failed", self.title, exc_info=error)
            return {"text": f"{type(error).__name__}: {error}", "ok": False}
        return {"text": _text(value), "sources": [self.title] if self.untrusted else []}

    async def _value(self, args: dict[str, Any]) -> Any:
        call = self._checked
        value = call(**args) if inspect.iscoroutinefunction(self.function) else await asyncio.to_thread(call, **args)
        return await value if inspect.isawaitable(value) else value

    @cached_property
    def _checked(self) -> Callable[..., Any]:
        return validate_call(self.function)

    def _description(self) -> str:
        description = inspect.getdoc(self.function)
        if not description:
            raise TypeError(f"the function {self.title} has no docstring; the model gets it as the description")
        return description

    def _parameters(self) -> dict[str, Any]:
        """Return the JSON schema of the parameters."""
        types = get_type_hints(self.function)
        for name, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind in _VARIABLE or name not in types:
                raise TypeError(f"the parameter {name} of {self.title} needs a type, and to be passed by name")
        function: Any = self.function
        return TypeAdapter(function).json_schema()


class FunctionCalls:
    """Runs the calls of a program's tools and submits their results."""

    def __init__(self, tools: Iterable[Tool | Callable[..., Any]], submit: Submit) -> None:
        found = [one if isinstance(one, Tool) else Tool(one) for one in tools]
        self._tools = {tool.title: tool for tool in found}
        self.offer = [tool.as_json() for tool in found]
        self._submit = submit
        self._running: dict[asyncio.Task[None], str] = {}
        """The running calls with the ids of the model's calls."""

    def take(self, line: dict[str, Any]) -> None:
        """Start the call that an event requests, and cancel the calls that an event ends."""
        event = line.get("event") or {}
        data = event.get("data", {})
        if event.get("type") == "tool_request" and data["name"] in self._tools:
            task = asyncio.create_task(self._run(data))
            self._running[task] = data["call_id"]
            task.add_done_callback(self._running.pop)
        elif event.get("type") in ("tool_output", "interrupted"):
            self._cancel(data.get("id"))

    async def close(self) -> None:
        """Cancel all calls."""
        self._cancel(None)
        await asyncio.gather(*self._running, return_exceptions=True)

    def _cancel(self, call_id: str | None) -> None:
        for task, id in self._running.items():
            if call_id in (None, id):
                task.cancel()

    async def _run(self, request: dict[str, Any]) -> None:
        result = await self._tools[request["name"]].run(request["args"])
        await self._submit(id=request["id"], **result)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return json.dumps(value, ensure_ascii=False, default=str)
