"""The process that reads and changes threads for the web server, so that the server does not import the graph.

Requests come as JSON lines on stdin, replies go to stdout: {"id", "do", "args"} and {"id", "value"} or {"id", "error"}.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.configs.paths import data_home
from ml_intern.graph import operations as ops
from ml_intern.outbound.exporting.formats import export_conversation
from ml_intern.safety.error_log import log_error
from ml_intern.search.listing import all_searches, attempt_diff, read_search
from ml_intern.search.record import SearchRecord
from ml_intern.session.threads import open_threads
from ml_intern.session.wire import codec
from ml_intern.session.wire.lines import BoundedLines
from ml_intern.session.wire.requests import REQUESTS
from ml_intern.session.wire.stdio import StandardStreams

if TYPE_CHECKING:
    from ml_intern.session.protocol import Threads

Args = Mapping[str, Any]


async def _get(threads: "Threads", args: Args) -> Any:
    """Answer a request of the wire about a thread, which may be idle or in use elsewhere."""
    async with threads.read(args["thread"]) as thread:
        if args["name"] == "preview_undo":
            return asdict(await thread.preview_undo(ops.Undo(**args["args"])))
        request = REQUESTS[args["name"]]
        found: Any = thread
        value = await request.answer(found, codec.checked(request.arguments, args["args"], args["name"]))
        return codec.adapter(request.result).dump_python(value, mode="json")


async def _statuses(threads: "Threads", args: Args) -> Any:
    return [asdict(one) for one in await threads.statuses(args["limit"], args["user"])]


async def _runs(threads: "Threads", args: Args) -> Any:
    return [asdict(one) for one in await threads.runs(args["thread"])]


async def _openapi(_threads: "Threads", _args: Args) -> Any:
    from ml_intern.server.web.openapi import openapi

    return openapi()


async def _rename(threads: "Threads", args: Args) -> None:
    async with threads.hold(args["thread"]) as thread:
        await thread.rename(args["title"])


async def _move(threads: "Threads", args: Args) -> Any:
    async with threads.hold(args["thread"]) as thread:
        operation = codec.decode_operation(args["operation"])
        if not isinstance(operation, ops.Undo | ops.Redo):
            raise UsageError("only undo and redo move in a thread", "see docs/wire.md")
        return vars(await thread.move(operation))


async def _fork(threads: "Threads", args: Args) -> str:
    return (await threads.fork(args["thread"], args["turn"])).id


async def _export(threads: "Threads", args: Args) -> str:
    async with threads.read(args["thread"]) as thread:
        return export_conversation(await thread.conversation(), args["format"])


async def _searches(_threads: "Threads", _args: Args) -> Any:
    return codec.adapter(list[SearchRecord]).dump_python(list(await all_searches()), mode="json")


async def _search(_threads: "Threads", args: Args) -> Any:
    return codec.adapter(SearchRecord).dump_python(await read_search(args["id"]), mode="json")


async def _search_diff(_threads: "Threads", args: Args) -> str:
    return await attempt_diff(args["id"], args["number"])


ACTIONS: Mapping[str, Callable[["Threads", Args], Awaitable[Any]]] = {
    "get": _get,
    "statuses": _statuses,
    "runs": _runs,
    "openapi": _openapi,
    "rename": _rename,
    "move": _move,
    "fork": _fork,
    "export": _export,
    "searches": _searches,
    "search": _search,
    "search_diff": _search_diff,
}


async def serve() -> None:
    """Answer requests side by side until stdin ends."""
    streams = StandardStreams.take()
    reader, writer = await streams.open()
    lines, sending, tasks = BoundedLines(reader, codec.MAX_LINE), asyncio.Lock(), set[asyncio.Task[None]]()

    async def answer(message: dict[str, Any]) -> None:
        reply = {"id": message["id"], **await _reply(threads, message)}
        async with sending:
            writer.write(codec.line(reply))
            await writer.drain()

    async with open_threads(lambda _message, _remedy: None) as threads:
        with suppress(OSError):
            while (text := await lines.next()) is not None:
                task = asyncio.create_task(answer(json.loads(text)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    writer.close()


async def _reply(threads: "Threads", message: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": await ACTIONS[message["do"]](threads, message["args"])}
    except MLInternError as error:
        return {"error": codec.encode_error(error)}
    except Exception as error:  # noqa: BLE001 every error becomes one line, and its traceback goes to the log
        known = log_error(data_home(), str(message["args"].get("thread", "")), error)
        return {"error": codec.encode_error(known)}


def main() -> None:
    """Answer requests, in a process of its own."""
    asyncio.run(serve())


if __name__ == "__main__":
    main()
