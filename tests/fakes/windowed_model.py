"""A simulated model with a real window: it refuses what does not fit, calls a tool so often, then is done."""

import json
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.fakes.model_server import Call, Reply, error

NOTES = "Notes: the steps so far went well."


@dataclass
class WindowedModel:
    """Answers for a FakeModelServer: use it as its `default`. Tokens are characters / 4 of messages and tools."""

    window: int
    steps: int
    tells: bool = True
    """Its refusal names the window."""
    calls_at_once: int = 1
    done: int = 0
    refused: int = 0
    usages: list[dict[str, int]] = field(default_factory=list[dict[str, int]])
    """What it said that its answers used."""
    faults: list[str] = field(default_factory=list[str])
    """What no provider would accept."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: dict[str, Any]) -> Reply:
        with self._lock:
            return self._answer(asked)

    def _answer(self, asked: dict[str, Any]) -> Reply:
        size = len(json.dumps(asked["messages"])) // 4 + len(json.dumps(asked.get("tools", []))) // 4
        self.faults += problems_of(asked["messages"])
        if size > self.window:
            self.refused += 1
            limit = f" length is {self.window} tokens, you requested {size}" if self.tells else ""
            return error(400, f"maximum context{limit}", "context_length_exceeded")
        usage = {"prompt_tokens": size, "completion_tokens": 20}
        self.usages.append(usage)
        if not asked.get("tools"):
            return Reply(text=NOTES, usage=usage)
        if self.done >= self.steps:
            return Reply(text=f"All {self.done} steps are done.", usage=usage)
        numbers = range(self.done, min(self.done + self.calls_at_once, self.steps))
        self.done = numbers.stop
        return Reply(calls=[Call("step", json.dumps({"number": n}), f"call_{n}") for n in numbers], usage=usage)


def problems_of(messages: list[dict[str, Any]]) -> list[str]:
    """What is wrong with a conversation: prompts, pairing, roles."""
    faults = []
    roles = [message["role"] for message in messages]
    if roles.count("system") != 1 or roles[0] != "system":
        faults.append("not one system prompt at the beginning")
    if any(pair == ("user", "user") for pair in pairwise(roles)):
        faults.append("two user messages in a row")
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                faults.append("a result without its call")
            else:
                waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            faults.append("a call without its result")
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
    return faults
