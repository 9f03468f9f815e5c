"""The user's messages in many compactions: each stays word for word, or is named with the file that has it."""

import random
import re
from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from ml_intern.nodes.compaction.shorten import TokenAllowance, shortened, transcript

COMPACTIONS = 200
ALLOWANCE = TokenAllowance(20_000)


class Conversation:
    """A conversation that is compacted whenever it is too long, with the files of its full texts."""

    def __init__(self) -> None:
        self.messages: list[AnyMessage] = [HumanMessage("the first task", id="u")]
        self.files: dict[str, str] = {}
        self.number = 0

    def add_step(self, output: str) -> None:
        self.number += 1
        call = {"name": "bash", "args": {"command": "make"}, "id": f"c{self.number}"}
        self.messages.append(AIMessage("", id=f"a{self.number}", tool_calls=[call]))
        self.messages.append(ToolMessage(output, tool_call_id=call["id"], id=f"t{self.number}"))

    def add_message(self, text: str) -> None:
        self.number += 1
        answer, message = AIMessage("done", id=f"a{self.number}"), HumanMessage(text, id=f"u{self.number}")
        self.messages += [answer, message]

    @property
    def is_full(self) -> bool:
        return ALLOWANCE.size(self.messages) > ALLOWANCE.tokens

    async def compact(self) -> None:
        where = f"compaction-{len(self.files)}.md"
        shorter = await shortened(self.messages, ALLOWANCE, summarise, where)
        assert shorter is not None
        self.files[where] = transcript(self.messages)
        self.messages = shorter

    def shown(self) -> str:
        return "\n".join(message.text for message in self.messages)

    def missing(self, words: Sequence[str]) -> list[str]:
        """The words that the model neither sees nor can find in a file that it is told about."""
        shown = self.shown()
        named = "\n".join(self.files[name] for name in re.findall(r"messages? of the user .*? in (\S+?)\.\]", shown))
        return [one for one in words if one not in shown and one not in named]


async def summarise(middle: Sequence[AnyMessage], words: int, /) -> str:
    return "some things happened"


async def test_every_message_survives_200_compactions_or_is_named_with_its_file() -> None:
    dice, thread, said = random.Random(1), Conversation(), list[str]()
    while len(thread.files) < COMPACTIONS:
        while not thread.is_full:
            thread.add_step("x" * dice.randrange(5_000, 9_000))
            if dice.random() < 0.1:
                long = dice.choice((20, 20, 200, 2_000))
                said.append(f"instruction {len(said)}: {dice.randbytes(long).hex()}")
                thread.add_message(said[-1])
        await thread.compact()
        assert thread.missing(said) == []
    assert len(said) > COMPACTIONS / 3
    assert sum(one in thread.shown() for one in said) > 10


async def test_short_messages_are_all_shown_after_200_compactions() -> None:
    thread, said = Conversation(), [f"never do thing {number}" for number in range(20)]
    for number in range(COMPACTIONS):
        if number % 10 == 0:
            thread.add_message(said[number // 10])
        while not thread.is_full:
            thread.add_step("x" * 9_000)
        await thread.compact()
    assert [one for one in said if one not in thread.shown()] == []
    assert not thread.is_full
