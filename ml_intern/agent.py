"""Agent: ml-intern for Python programs. An agent is a process of its own; the program imports only this client."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ValidationError

from ml_intern.functions import FunctionCalls, Tool
from ml_intern.session.wire.children import ChildProcess, ChildProcesses
from ml_intern.session.wire.link import ConnectionLost, Line, RequestRefused, WireConnection

PROGRAM = ("ml_intern.__main__", "session", "--json")
PROCESSES = ChildProcesses()
REFUSED = 2
"""Exit code of an operation that does not apply."""
MAX_CORRECTIONS = 2
MAX_PROBLEM = 2_000

T = TypeVar("T")


class AgentError(Exception):
    """An error of the session. `exit_code` is that of the command line."""

    def __init__(self, message: str, remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(f"{message} ({remedy})" if remedy else message)
        self.message, self.remedy, self.exit_code = message, remedy, exit_code


class AgentEvent(BaseModel):
    """An event of the session, see the reference of events."""

    type: str
    thread_id: str
    seq: int
    time: float
    data: dict[str, Any]


class ApprovalRequest(BaseModel):
    """A call or a question that needs an answer."""

    id: str
    name: str
    args: dict[str, Any] = {}
    description: str = ""


class Answer(BaseModel, Generic[T]):
    """The end of a turn. `status` is done, failed, limit, interrupted, stopped or waiting."""

    status: Literal["done", "failed", "limit", "interrupted", "stopped", "waiting"]
    text: str
    exit_code: int
    iterations: int = 0
    value: T | None = None
    """The answer as the requested class."""


class Cost(BaseModel):
    """The usage of the thread and its sub-agents. The price of some requests may be unknown."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unknown_cost_requests: int


Function = Callable[..., Any]
Approve = Callable[[ApprovalRequest], bool | str | Awaitable[bool | str]]
"""Return True to approve a request; False, or the reason, to reject it."""


class Agent:
    """A session of ml-intern in a process of its own.

    Without `approval` it runs unattended: a call that would need an approval is refused. `tools` are functions that
    the model can call, in this program. `options` are further options of the command line.
    """

    def __init__(
        self,
        *options: str,
        cwd: str | None = None,
        model: str | None = None,
        approval: Approve | None = None,
        tools: Sequence[Function | Tool] = (),
        resume: str | None = None,
        fork: bool = False,
    ) -> None:
        words = {"-C": cwd, "-m": model, "-r": resume, "--approval-mode": "ask" if approval else "auto"}
        given = [word for name, value in words.items() if value is not None for word in (name, str(value))]
        self._command = [*PROGRAM, *given, *(["--fork"] if fork else []), *options]
        self._approval = approval
        self._calls = FunctionCalls(tools, self._return_result)
        self._link = WireConnection(self._start, self._take, self._lost, name="python", delays=())
        self._received: asyncio.Queue[Line | None] = asyncio.Queue()
        self._process: ChildProcess | None = None
        self._running = False
        self._asked: list[ApprovalRequest] = []
        self.thread_id = ""
        self.last: Answer[Any] | None = None
        """The end of the last turn."""

    async def __aenter__(self) -> Self:
        try:
            await self._link.open()
            await self._link.watch()
            if self._calls.offer:
                await self._link.request(do={"type": "offer_tools", "tools": self._calls.offer})
        except RequestRefused as refused:
            await self._end()
            raise _error(refused) from refused
        except ConnectionLost as lost:
            await self._end()
            raise AgentError("ml-intern could not be started", "its messages are on stderr") from lost
        self.thread_id = self._link.greeting["thread_id"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._calls.close()
        await self._link.finish()
        await self._end()

    async def run(self, prompt: str) -> AsyncGenerator[AgentEvent, None]:
        """Send a message and yield the events of its turn. `last` is its end afterwards. Raises AgentError."""
        if self._running:
            raise AgentError("a turn is running", "wait until it has ended, or start another agent")
        self._running, self.last = True, None
        try:
            await self.submit("user_input", text=prompt)
            while True:
                async for event in self._events_until_rest():
                    yield event
                if not self._asked or self._approval is None:
                    return
                await self._answer(self._asked)
        finally:
            self._running = False

    async def ask(self, prompt: str, answer: type[T] | None = None) -> Answer[T]:
        """Send a message and return the end of its turn. With a pydantic class, `value` is the answer as this class.

        Raises AgentError; also if the answer does not match the class after two corrections.
        """
        if answer is None or not issubclass(answer, BaseModel):
            return await self._finished(prompt)
        schema = json.dumps(answer.model_json_schema(), ensure_ascii=False)
        said = f"{prompt}\n\nYour final answer must be one JSON value and nothing else, matching this schema:\n{schema}"
        for _ in range(MAX_CORRECTIONS + 1):
            end: Answer[T] = await self._finished(said)
            if end.status != "done":
                return end
            try:
                return end.model_copy(update={"value": answer.model_validate_json(_without_fence(end.text))})
            except ValidationError as error:
                problem = str(error)[:MAX_PROBLEM]
                said = f"Your final answer does not match the JSON schema: {problem}\nAnswer again with the JSON alone."
        raise AgentError(f"the answer does not match {answer.__name__}: {problem}")

    async def interrupt(self) -> None:
        """Stop the running turn."""
        await self.submit("interrupt")

    async def fork(self) -> str:
        """Copy the thread and continue in the copy. Return its id."""
        await self.submit("fork")
        await self._rest()
        self._drain()
        return self.thread_id

    async def cost(self) -> Cost:
        """Return what the thread has cost."""
        return Cost.model_validate(await self.get("totals"))

    async def submit(self, operation: str, **fields: Any) -> None:
        """Submit an operation by its name in the reference of the wire. Raises AgentError."""
        await self._request(do={"type": operation, **fields})

    async def get(self, name: str, **args: Any) -> Any:
        """Return the value of a request by its name in the reference of the wire. Raises AgentError."""
        return (await self._request(get=name, args=args))["value"]

    # --- the connection

    async def _start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._process = await PROCESSES.start(*self._command)
        return self._process.reader, self._process.writer

    async def _end(self) -> None:
        if self._process is not None:
            await self._process.wait()
            self._process = None

    async def _request(self, **message: Any) -> Line:
        try:
            return await self._link.request(**message)
        except RequestRefused as refused:
            raise _error(refused) from refused
        except ConnectionLost as lost:
            remedy = f"its messages are on stderr; resume the thread {self.thread_id}"
            raise AgentError("the session has ended", remedy, 75) from lost

    def _take(self, line: Line) -> None:
        self._calls.take(line)
        self._received.put_nowait(line)

    def _lost(self) -> None:
        self._received.put_nowait(None)

    async def _return_result(self, **result: Any) -> None:
        with suppress(AgentError):  # the call was ended meanwhile, or the session
            await self.submit("tool_result", **result)

    # --- turns

    async def _finished(self, prompt: str) -> Answer[T]:
        async for _ in self.run(prompt):
            pass
        if self.last is None:
            raise AgentError("the turn did not end")
        return self.last

    async def _rest(self) -> None:
        with suppress(AgentError):  # the events end too
            await self.get("at_rest")
            self._received.put_nowait({"rest": True})

    async def _events_until_rest(self) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events until nothing runs. The reply to `at_rest` follows all of them."""
        resting = asyncio.create_task(self._rest())
        try:
            while (line := await self._received.get()) is not None:
                if "rest" in line:
                    return
                if "event" in line:
                    yield self._seen(line)
        finally:
            resting.cancel()
            await asyncio.gather(resting, return_exceptions=True)
        raise AgentError("the session has ended", f"resume the thread {self.thread_id}", 75)

    def _seen(self, line: Line) -> AgentEvent:
        event = AgentEvent.model_validate(line["event"])
        self.thread_id = event.thread_id
        if event.type == "approval_required":
            self._asked = [ApprovalRequest.model_validate(one) for one in event.data["requests"]]
        elif event.type in ("approval_answered", "processing"):
            self._asked = []
        if line.get("end") is not None:
            self.last = Answer.model_validate(line["end"])
        return event

    def _drain(self) -> None:
        while not self._received.empty():
            line = self._received.get_nowait()
            if line is not None and "event" in line:
                self._seen(line)

    async def _answer(self, requests: Sequence[ApprovalRequest]) -> None:
        """Ask the program and answer, unless the turn was interrupted or another client has answered meanwhile."""
        self._asked = []
        decisions = {request.id: await self._decision(request) for request in requests}
        try:
            await self.submit("exec_approval", decisions=decisions)
        except AgentError as error:
            if error.exit_code != REFUSED:
                raise

    async def _decision(self, request: ApprovalRequest) -> dict[str, Any]:
        answer = self._approval(request) if self._approval is not None else False
        decided = await answer if isawaitable(answer) else answer
        if decided is True:
            return {"type": "approve"}
        return {"type": "reject", "message": decided} if isinstance(decided, str) else {"type": "reject"}


class SyncAgent:
    """An Agent for programs without asyncio. It takes the same arguments."""

    def __init__(self, *options: str, **choices: Any) -> None:
        self._agent = Agent(*options, **choices)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        try:
            self._runner.run(self._agent.__aenter__())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._agent.__aexit__())
        self._runner.close()

    @property
    def thread_id(self) -> str:
        """The id of the thread."""
        return self._agent.thread_id

    @property
    def last(self) -> Answer[Any] | None:
        """The end of the last turn."""
        return self._agent.last

    def run(self, prompt: str) -> Iterator[AgentEvent]:
        """Send a message and yield the events of its turn. `last` is its end afterwards. Raises AgentError."""
        events = self._agent.run(prompt)
        try:
            while (event := self._runner.run(_next(events))) is not None:
                yield event
        finally:
            self._runner.run(events.aclose())

    def ask(self, prompt: str, answer: type[T] | None = None) -> Answer[T]:
        """Send a message and return the end of its turn; with a pydantic class, `value` is the answer as this class."""
        return self._runner.run(self._agent.ask(prompt, answer))

    def interrupt(self) -> None:
        """Stop the running turn."""
        self._runner.run(self._agent.interrupt())

    def fork(self) -> str:
        """Copy the thread and continue in the copy. Return its id."""
        return self._runner.run(self._agent.fork())

    def cost(self) -> Cost:
        """Return what the thread has cost."""
        return self._runner.run(self._agent.cost())


async def _next(events: AsyncGenerator[AgentEvent, None]) -> AgentEvent | None:
    return await anext(events, None)


def _error(refused: RequestRefused) -> AgentError:
    error = refused.error
    return AgentError(str(error.get("message")), str(error.get("remedy", "")), int(error.get("exit_code", 1)))


def _without_fence(text: str) -> str:
    lines = text.strip().splitlines()
    fenced = len(lines) > 1 and lines[0].startswith("```") and lines[-1] == "```"
    return "\n".join(lines[1:-1]) if fenced else text.strip()
