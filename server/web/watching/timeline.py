"""Timeline: the conversation of a thread as blocks of HTML, from its messages and from events as they happen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_intern.outbound.conversation import Call, Conversation, Message, TurnEnding
from ml_intern.outbound.exporting.html_message import ending, section

Line = Mapping[str, Any]


@dataclass
class Block:
    """A message of the user, of the model or of the program, with the results of its calls."""

    key: str
    number: int
    """Its place in the thread, used in the page as the id of its element."""
    message: Message
    results: dict[str, Message] = field(default_factory=dict[str, Message])
    end: TurnEnding | None = None
    """The end of the turn, if this is the turn's last block."""
    running: bool = False
    _html: str = ""

    def html(self) -> str:
        """Return the block, rendered once for each of its states."""
        if not self._html:
            shown = section(self.message, self.results, running=self.running)
            self._html = f'<article id="b{self.number}">{shown}{ending(self.end) if self.end else ""}</article>'
        return self._html

    def become(self, other: "Block") -> bool:
        """Take the contents of another block. Return whether they differ."""
        if (self.message, self.results, self.end, self.running) == (
            other.message,
            other.results,
            other.end,
            other.running,
        ):
            return False
        self.message, self.results, self.end, self.running = other.message, other.results, other.end, other.running
        self._html = ""
        return True


@dataclass
class Changes:
    """The blocks that a page has to add and to replace. `reset`: all of them are others."""

    added: list[Block] = field(default_factory=list[Block])
    changed: list[Block] = field(default_factory=list[Block])
    reset: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.reset)


class Timeline:
    """The blocks of a thread in order."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._by_key: dict[str, Block] = {}
        self._last_number = 0

    def load(self, conversation: Conversation, *, running: bool) -> Changes:
        """Take the blocks of a whole conversation. `running`: its open calls may still get results."""
        found = list(_blocks(conversation, running=running))
        known = [block.key for block in self.blocks]
        if known != [block.key for block in found[: len(known)]]:
            self.blocks, self._by_key = [], {}
            for block in found:
                self._append(block)
            return Changes(reset=True)
        changed = [block for block, new in zip(self.blocks, found, strict=False) if block.become(new)]
        added = [self._append(block) for block in found[len(known) :]]
        return Changes(added, changed)

    def take(self, event: Line) -> Changes:
        """Take an event of the thread."""
        if event["type"] == "tool_output":
            return self._result(event["data"])
        message = _message(event)
        if message is None:
            return Changes()
        running = event["type"] == "assistant_message"
        known = self._by_key.get(message.id)
        if known is None:
            return Changes(added=[self._append(Block(message.id, 0, message, running=running))])
        new = Block(known.key, 0, message, known.results, known.end, running)
        return Changes(changed=[known] if running and known.become(new) else [])

    def holds(self, key: str) -> bool:
        """Return whether a message is in the timeline."""
        return key in self._by_key

    def latest(self, count: int) -> Sequence[Block]:
        """Return the last blocks."""
        return self.blocks[-count:]

    def before(self, number: int, count: int) -> Sequence[Block]:
        """Return the blocks before the one with this number."""
        earlier = [block for block in self.blocks if block.number < number]
        return earlier[-count:]

    def _append(self, block: Block) -> Block:
        self._last_number += 1
        block.number = self._last_number
        self.blocks.append(block)
        self._by_key[block.key] = block
        return block

    def _result(self, data: Line) -> Changes:
        for block in reversed(self.blocks):
            if any(call.id == data["id"] for call in block.message.calls):
                message = Message(
                    "tool", data["text"], call_id=data["id"], name=data["name"], ok=data["ok"], seconds=data["seconds"]
                )
                results = {**block.results, data["id"]: message}
                new = Block(block.key, 0, block.message, results, block.end, block.running)
                return Changes(changed=[block] if block.become(new) else [])
        return Changes()


def _blocks(conversation: Conversation, *, running: bool) -> "list[Block]":
    results, blocks = conversation.results(), list[Block]()
    turn = 0
    last = len(conversation.messages)
    for place, message in enumerate(conversation.messages):
        if message.role == "tool":
            continue
        if message.role == "user" and not message.steered:
            _end(blocks, conversation.endings.get(turn))
            turn = message.turn
        found = {call.id: results[key] for call in message.calls if (key := (place, call.id)) in results}
        is_open = running and place + len(found) + 1 >= last
        blocks.append(Block(message.id or f"#{place}", 0, message, found, running=is_open and bool(message.calls)))
    _end(blocks, conversation.endings.get(turn))
    return blocks


def _end(blocks: "list[Block]", end: TurnEnding | None) -> None:
    if blocks and end is not None and end.status != "done":
        blocks[-1].end = end


def _message(event: Line) -> Message | None:
    """Return the message that an event adds to the conversation."""
    data, time = event["data"], event["time"]
    match event["type"]:
        case "processing" if data["text"]:
            return Message("user", data["text"], data["id"], turn=data["turn"], time=time)
        case "steered":
            return Message("user", data["text"], data["id"], steered=True, time=time)
        case "assistant_message":
            calls = tuple(Call(call["id"], call["name"], call["args"]) for call in data["tool_calls"])
            return Message("assistant", data["text"], data["message_id"], calls, data["reasoning"] or "", time=time)
    return None
