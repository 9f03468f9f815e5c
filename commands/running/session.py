"""`session --json`: a session for another program, which sends operations and receives events as JSON lines."""

import asyncio
import signal
from typing import Annotated

import typer

from ml_intern.commands.failure import as_known, report_line
from ml_intern.commands.options import MODEL_OPTIONS, SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import print_json
from ml_intern.configs.errors import MLInternError, UsageError

THREAD_OPTIONS = ("continue_", "resume", "fork", "ephemeral")
MODE_OPTIONS = ("approval_mode", "yolo", "sandbox", "tool_runtime", "sandbox_tools", "add_dir")
LIMIT_OPTIONS = ("max_iterations", "max_budget_usd", "strict_budget", "no_stream")
TERMINATED, INTERRUPTED = 143, 130

Lines = Annotated[bool, typer.Option("--json", help="read and write JSON lines, see docs/wire.md")]
Schema = Annotated[bool, typer.Option("--schema", help="print the JSON schema of the lines")]


@takes_options(*MODEL_OPTIONS, *SETTINGS_OPTIONS, *THREAD_OPTIONS, *MODE_OPTIONS, *LIMIT_OPTIONS)
def session(json: Lines = False, schema: Schema = False, *, options: Options) -> int:
    """Open a session for another program: operations on stdin, events on stdout, messages on stderr.

    The end of stdin closes the session. The thread can be resumed.
    """
    if schema:
        from ml_intern.session.wire.schema import wire_schema

        return print_json(wire_schema())
    if not json:
        raise UsageError("the format is missing", "use ml-intern session --json")
    return asyncio.run(_serve(options))


async def _serve(options: Options) -> int:
    from ml_intern.session.opening.session import Interface, open_session
    from ml_intern.session.wire.codec import encode_error, line
    from ml_intern.session.wire.stdio import StandardStreams, serve_streams

    streams = StandardStreams.take()
    codes: list[int] = []

    def stop(code: int) -> None:
        codes.append(code)
        streams.ended.set()

    loop = asyncio.get_running_loop()
    for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGHUP, TERMINATED), (signal.SIGINT, INTERRUPTED)):
        loop.add_signal_handler(number, stop, code)
    try:
        async with open_session(options.request(), Interface(report_line)) as opened:
            await serve_streams(opened.session, streams)
    except Exception as error:
        known = as_known(error) or MLInternError(f"unexpected {type(error).__name__}: {error}")
        streams.refuse(line({"id": None, "error": encode_error(known)}))
        raise
    return codes[0] if codes else 0
