"""The user of a fault test: goes through a scenario, and after a fault goes on where the thread is."""

import random
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from ml_intern.configs.errors import UsageError
from ml_intern.graph.events import Event
from ml_intern.graph.operations import Decision, ExecApproval, Fork
from ml_intern.graph.state import is_user_message
from ml_intern.session.agent import AgentSession
from tests.faults.lab import LOG, FaultLab
from tests.faults.scenarios import Action, Scenario

CLOSING = ("turn_complete", "interrupted", "undo_complete")


class Stopped(Exception):
    """The session said that it could not go on; the exit code is in the record."""


class User:
    """One life of a user: opens the thread, sees what is there, and does what is left to do."""

    def __init__(self, lab: FaultLab, scenario: Scenario) -> None:
        self.lab = lab
        self.record = lab.record
        self.scenario = scenario
        self.life = len(self.record.all("life"))
        self.dice = random.Random(f"{lab.seed}/{self.life}")

    async def live(self) -> None:
        """Carry out the scenario from where it stands to its end. Raises Stopped after an error event."""
        self.record.add(life=self.life)
        thread = await self._thread()
        queued = await self._queued(thread) if thread else 0
        async with self.lab.session(thread, **self._choices()) as session:
            self._events = session.events()
            await self._spent(session)
            if thread is not None:
                await self._settle(session, queued)
            for place in range(self.record.newest("done", -1) + 1, len(self.scenario.actions)):
                await self._do(session, place, self.scenario.actions[place])
            await self._end(session)

    def _choices(self) -> dict[str, Any]:
        child = {"research_model": self.lab.model("child")} if self.scenario.child_steps else {}
        return {**self.scenario.choices, **child}

    async def _thread(self) -> str | None:
        """The thread the user last saw; one that was never acknowledged is the newest, if any."""
        if known := self.record.newest("thread"):
            return str(known)
        if not self.lab.home.exists():
            return None
        async with await self.lab.store() as store:
            rows = await store.threads.list()
        return rows[0].id if rows else None

    async def _queued(self, thread: str) -> int:
        """How many messages wait on the thread."""
        async with await self.lab.store() as store:
            return len(await store.queue.list(thread))

    async def _settle(self, session: AgentSession, queued: int) -> None:
        """Let the thread finish what was pending, then compare it with what the user knows."""
        resumed = await self._until(session, "resumed")
        waiting = self._open_question()
        if pending := resumed.data["pending"]:
            await self._turn(session, await self._begun(session))
        for _ in range(0 if pending == "approval" else queued):  # they start by themselves
            await self._turn(session, self.scenario.actions[self.record.newest("done", -1) + 1])
        if waiting and not pending:
            self.record.add(violation=f"the approval of {waiting['ids']} is lost")
        self.record.add(resumed=pending)

    async def _begun(self, session: AgentSession) -> Action:
        """The action whose turn the thread is in."""
        done: int = self.record.newest("done", -1)
        actions = self.scenario.actions
        in_last = done >= 0 and users(await session.messages()) == actions[done].after
        return actions[done if in_last else min(done + 1, len(actions) - 1)]

    def _open_question(self) -> dict[str, Any] | None:
        """What the user was asked last and did not answer."""
        for entry in reversed(self.record.entries()):
            if not {"answered", "done", "submitted"}.isdisjoint(entry):
                return None
            if "asked" in entry:
                return dict(entry["asked"])
        return None

    async def _do(self, session: AgentSession, place: int, action: Action) -> None:
        before = self.scenario.actions[place - 1].after if place else ()
        found = users(await session.messages())
        begun = self.record.newest("acknowledged", -1) >= place
        if found != action.after and (begun or found != before):
            self.record.add(violation=f"action {place}, acknowledged: {begun}, finds the messages {found}")
        forking = isinstance(action.operation, Fork)
        if found != action.after or action.refused or (forking and not self.record.all("forked")):
            self.record.add(submitted=place)
            await session.submit(action.operation)
            await self._follow(session, action, place)
        self.record.add(done=place)

    async def _follow(self, session: AgentSession, action: Action, place: int) -> None:
        if isinstance(action.operation, Fork):
            await self._forked(session)
        elif action.refused:
            await self._refused(session)
        else:
            await self._turn(session, action, place)

    async def _refused(self, session: AgentSession) -> None:
        try:
            event = await self._until(session, *CLOSING)
            self.record.add(violation=f"what had to be refused ended with {event.type}")
        except Stopped:
            if self.record.newest("error")["exit_code"] != UsageError.exit_code:
                raise

    async def _forked(self, session: AgentSession) -> None:
        event = await self._until(session, "resumed")
        self.record.add(forked=event.thread_id, thread=event.thread_id)

    async def _turn(self, session: AgentSession, action: Action, place: int = -1) -> None:
        """Follow events to the end of a turn, answering approvals as the action says."""
        while True:
            event = await self._until(session, "processing", "approval_required", *CLOSING)
            match event.type:
                case "processing":
                    self.record.add(acknowledged=place, thread=event.thread_id)
                case "approval_required" if not await self._answer(session, event, action):
                    return
                case "approval_required":
                    continue
                case _:
                    return

    async def _answer(self, session: AgentSession, event: Event, action: Action) -> bool:
        asked = {"ids": [r["id"] for r in event.data["requests"]], **event.data}
        if (waiting := self._open_question()) and waiting != asked:
            self.record.add(violation=f"asked {asked} where {waiting} waited")
        self.record.add(asked=asked)
        if action.answers == "none":
            return False
        decisions = {r["id"]: self._decision(r, action) for r in event.data["requests"]}
        self.record.add(answered=decisions)
        await session.submit(ExecApproval(decisions))
        return True

    def _decision(self, request: dict[str, Any], action: Action) -> Decision:
        if action.answers == "edit":
            args = {key: f"{value.removesuffix(f' >> {LOG}')}.edited" for key, value in request["args"].items()}
            return {"type": "edit", "args": {k: f"{v} >> {LOG}" if k == "command" else v for k, v in args.items()}}
        if action.answers == "either" and self.dice.random() < 0.5:
            return {"type": "reject"}
        return {"type": "approve"}

    async def _until(self, session: AgentSession, *types: str) -> Event:
        async for event in self._events:
            if event.type == "usage":
                self.record.add(spent={"thread": event.thread_id, "usd": event.data["total_cost_usd"]})
            if event.type == "error" and event.data["exit_code"] is not None:
                self.record.add(error=event.data)
                raise Stopped(event.data["message"])
            if event.type in types:
                return event
        raise AssertionError(f"the session ended without {types}")

    async def _spent(self, session: AgentSession) -> None:
        self.record.add(spent={"thread": session.thread_id, "usd": (await session.totals()).cost_usd})

    async def _end(self, session: AgentSession) -> None:
        await self._spent(session)
        self.record.add(final=conversation(await session.messages()))


def users(messages: Sequence[AnyMessage]) -> tuple[str, ...]:
    """The user's own messages."""
    return tuple(message.text for message in messages if is_user_message(message))


def conversation(messages: Sequence[AnyMessage]) -> list[dict[str, Any]]:
    """The messages as plain data, calls with their place in the journal."""
    found: list[dict[str, Any]] = []
    places: dict[str, str] = {}
    for message in messages:
        entry: dict[str, Any] = {"type": message.type, "text": message.text}
        if isinstance(message, AIMessage):
            entry["calls"] = [[call["name"], call["args"]] for call in message.tool_calls]
            places |= {call["id"] or "": f"{message.id}/{n}" for n, call in enumerate(message.tool_calls)}
        if isinstance(message, ToolMessage):
            entry |= {"call": message.tool_call_id, "key": places.get(message.tool_call_id, ""), "name": message.name}
        found.append(entry)
    return found
