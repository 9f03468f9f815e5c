"""The proposer: one turn of an unattended thread in the worktree of an attempt. A killed turn is continued."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from ml_intern.graph.operations import Continue, Interrupt, UserInput
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.opening.session import Interface, open_session
from ml_intern.session.protocol import Session


@dataclass(frozen=True)
class ProposerTask:
    """The thread of an attempt, and the prompt that it starts with."""

    request: SessionRequest
    prompt: str
    typed: str
    """The part of the prompt that the user typed."""
    message_id: str
    seconds: float
    again: bool = False
    """The prompt is another message of a thread that has ended its turn."""


@dataclass(frozen=True)
class Proposal:
    """The end of the proposer's turn. `status` is as in TurnEnd, or "timeout"."""

    status: str
    text: str
    exit_code: int

    @property
    def idea(self) -> str:
        """Return the first line of the answer, without marks and a final period."""
        line = next((one for one in self.text.splitlines() if one.strip(" #*-")), "")
        return line.strip(" #*-`").removeprefix("Idea:").removeprefix("idea:").strip(" *").removesuffix(".")[:300]


async def propose(task: ProposerTask) -> Proposal:
    """Run the turn of an attempt to its end. Raises the errors of opening a session."""
    async with open_session(task.request, Interface(lambda _: None)) as opened:
        session = opened.session
        consumer = asyncio.create_task(_read(session))
        try:
            async with asyncio.timeout(task.seconds):
                await _run(session, task)
            return await _ended(session)
        except TimeoutError:
            await session.submit(Interrupt())
            await session.idle()
            return Proposal("timeout", "", 124)
        finally:
            with suppress(asyncio.CancelledError):
                await session.runs.stop()
            await session.close()
            await consumer


async def _run(session: Session, task: ProposerTask) -> None:
    await session.idle()
    if task.again or not await session.history():
        await session.submit(UserInput(task.prompt, typed=task.typed, id=task.message_id))
    elif session.end is None:
        await session.submit(Continue())
    await session.at_rest()


async def _ended(session: Session) -> Proposal:
    """Return the end of the turn. A turn that had ended before this process has its answer in the history."""
    end = session.end
    if end is not None:
        return Proposal(end.status, end.text, end.exit_code)
    answers = [one.text for one in await session.history() if one.role == "assistant" and one.text]
    return Proposal("done", answers[-1], 0) if answers else Proposal("failed", "the turn did not end", 1)


async def _read(session: Session) -> None:
    """Read the events, which a session waits for."""
    async for _ in session.events():
        pass
