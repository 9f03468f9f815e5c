"""The parent process of a local run. It continues when ml-intern ends, and records how the run ends.

Started as `python -I -m ml_intern.runs.supervisor FOLDER`. The order is read as JSON from standard input, so that no
secret appears in a command line or on disk. A lock on the folder shows that the supervisor is running; a status file
contains the state of the run.
"""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ml_intern.runs.remote.far_side.slots import WAITING, Queue
from ml_intern.runs.run_folder import LOG, free_space, lock_file, read_status, write_status
from ml_intern.sandbox.own_process import hide_own_process
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.execution.process.command import Finished
    from ml_intern.execution.run_sources import RunSources
    from ml_intern.sandbox.command import WrappedCommand
    from ml_intern.sandbox.send_limits import SendLimits

LOG_BYTES = 4 << 30
_SECONDS_BETWEEN_NOTES = 1.0
_QUEUE_SECONDS = 0.2
STOPPED = {"state": "cancelled", "exit_code": None, "reason": "it was stopped"}
ENDED = {"timeout": "timeout", "output cap": "failed", "exited": "failed"}


def main() -> None:
    """Execute one order, unless another supervisor has executed it or is executing it."""
    folder = Path(sys.argv[1])
    order = json.loads(
        sys.stdin.read()
    )  # incomplete when ml-intern was killed meanwhile: this raises, and nothing starts
    with lock_file(folder) as lock:
        if not _locked(lock) or read_status(folder):
            return
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        if not order["slots"]:
            _run_order(folder, order)
            return
        queue = Queue(folder.parent.parent, folder.name, order["slots"])
        queue.enter()
        write_status(folder, {"pid": os.getpid(), "state": "queued", "reason": WAITING})
        slot = queue.slot(_stopped_meanwhile)
        if slot is None:
            _write_last(folder, {"pid": os.getpid(), **STOPPED, "finished": time.time()})
            return
        with slot:
            _run_order(folder, order)


def _stopped_meanwhile() -> bool:
    """Wait a moment for the signal that stops the run. Return whether it came."""
    return signal.sigtimedwait({signal.SIGTERM}, _QUEUE_SECONDS) is not None


def _run_order(folder: Path, order: Mapping[str, Any]) -> None:
    began = {"pid": os.getpid(), "started": time.time()}
    write_status(folder, {**began, "state": "running"})
    clock = time.monotonic()
    ending = asyncio.run(_supervise(folder, order))
    seconds = time.monotonic() - clock
    _write_last(folder, {**began, **ending, "seconds": seconds, "finished": time.time()})


def _locked(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_last(folder: Path, status: Mapping[str, Any]) -> None:
    try:
        write_status(folder, status)
    except OSError:
        free_space(folder)
        write_status(folder, status)


async def _supervise(folder: Path, order: Mapping[str, Any]) -> dict[str, Any]:
    """Run the command and return how it ended."""
    work = asyncio.ensure_future(_run(folder, order))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        finished = await work
    except asyncio.CancelledError:
        return STOPPED
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "it was stopped because the disk is full" if full else str(error)
        return {"state": "failed", "exit_code": None, "reason": reason}
    except Exception as error:  # noqa: BLE001 the status file is the only place to report any error
        return {"state": "failed", "exit_code": None, "reason": f"it could not run: {error}"}
    return _ending(finished, order)


def _ending(finished: "Finished", order: Mapping[str, Any]) -> dict[str, Any]:
    done = finished.ending == "exited" and finished.exit_code == 0
    reasons = {
        "timeout": f"it reached its time limit of {order['limit_s']:g} s",
        "output cap": f"it wrote more than {LOG_BYTES >> 30} GiB of output",
        "exited": "",
    }
    state = "succeeded" if done else ENDED[finished.ending]
    return {"state": state, "exit_code": finished.exit_code, "reason": reasons[finished.ending]}


async def _run(folder: Path, order: Mapping[str, Any]) -> "Finished":
    from ml_intern.execution.process.command import ProcessCommand, run_command
    from ml_intern.execution.process.sessions import end_processes
    from ml_intern.safety.secrets.redaction import add_known_secrets

    add_known_secrets(order["known_secrets"])
    with contextlib.ExitStack() as stack:
        argv, environment, wrapped = stack.enter_context(_sandboxed(order)) if order["sandbox"] else _unsandboxed(order)
        command = ProcessCommand(
            argv=argv,
            folder=Path(order["folder"]),
            environment=environment,
            output=folder / LOG,
            mark=order["id"],
            timeout=order["limit_s"],
            output_bytes=LOG_BYTES,
            wrapped=wrapped,
        )
        sources = _Sources(folder, order, wrapped)
        noting = asyncio.ensure_future(sources.note_all())
        evidence = _Evidence(folder, order, wrapped)
        try:
            return await run_command(command, lambda _: None)
        finally:
            await end_processes(None, order["id"])  # including processes that left the session
            noting.cancel()
            await asyncio.to_thread(evidence.write)
            await asyncio.to_thread(sources.note_end)
            if wrapped is not None:
                await asyncio.to_thread(_close, wrapped, folder / LOG)


def _close(wrapped: "WrappedCommand", log: Path) -> None:
    """Close the sandbox and add lines to the log: connections that it refused, and what git would have run."""
    from ml_intern.execution.sandboxed import connections_of

    notes = [visible(note) for note in connections_of(wrapped).notes]
    wrapped.close()
    notes += [f"removed {visible(part)}: git would have run it" for part in wrapped.removed]
    notes += [f"restored {visible(path)}: the user locked it" for path in wrapped.restored]
    if notes:
        with log.open("a", encoding="utf-8") as file:
            file.writelines(f"ml-intern: {note}\n" for note in notes)


class _Evidence:
    """Watches what the run opens, writes and starts, and writes it to its folder at its end."""

    def __init__(self, folder: Path, order: Mapping[str, Any], wrapped: "WrappedCommand | None") -> None:
        from ml_intern.execution.recording.file_watch import FileWatch

        self._folder, self._argv, self._wrapped = folder, tuple(order["argv"]), wrapped
        self._watch = FileWatch([*map(Path, order["roots"])]) if order.get("evidence") else None

    def write(self) -> None:
        from ml_intern.execution.recording.call_evidence import RUN_EVIDENCE, evidence_of
        from ml_intern.execution.recording.programs_used import ProgramsUsed

        if self._watch is not None:
            programs = ProgramsUsed()
            programs.take(self._wrapped, self._argv)
            text = json.dumps(evidence_of(self._watch.close(), programs))
            with contextlib.suppress(OSError):  # on a full disk the evidence is missing, which the gate reports
                (self._folder / RUN_EVIDENCE).write_text(text, encoding="utf-8")


class _Sources:
    """Writes the outside sources of the run to its folder whenever it has reached another host."""

    def __init__(self, folder: Path, order: Mapping[str, Any], wrapped: "WrappedCommand | None") -> None:
        from ml_intern.execution.file_sources import file_clock

        self._folder, self._order, self._wrapped = folder, order, wrapped
        self._began = file_clock()
        self._noted: RunSources | None = None

    async def note_all(self) -> None:
        """Write them now, and again when there are more."""
        while True:
            self._write(self._found())
            await asyncio.sleep(_SECONDS_BETWEEN_NOTES)

    def note_end(self) -> None:
        """Write them a last time, with the files that the run changed."""
        from ml_intern.execution.file_sources import changed_files

        roots = [*map(Path, self._order["roots"])]
        found = self._found()
        self._write(replace(found, written=changed_files(roots, self._began) if found.all else {}))

    def _found(self) -> "RunSources":
        from ml_intern.execution.run_sources import RunSources
        from ml_intern.execution.sandboxed import connections_of

        read = (*self._order["read"], *connections_of(self._wrapped).reached)
        return RunSources(tuple(self._order["roots"]), tuple(self._order["launched_with"]), tuple(dict.fromkeys(read)))

    def _write(self, found: "RunSources") -> None:
        from ml_intern.execution.run_sources import write_run_sources

        if found != self._noted:
            write_run_sources(self._folder, found)
            self._noted = found


def _unsandboxed(order: Mapping[str, Any]) -> tuple[tuple[str, ...], Mapping[str, str], None]:
    return tuple(order["argv"]), {**order["environment"], **order["further"]}, None


@contextlib.contextmanager
def _sandboxed(order: Mapping[str, Any]) -> Any:
    """Wrap the command in the sandbox that the agent's commands use."""
    from ml_intern.execution.sandboxed import run_profile
    from ml_intern.graph.context import RunOptions
    from ml_intern.sandbox.wrap import wrap

    settings = order["sandbox"]
    options = RunOptions(
        model="",
        workspace=settings["workspace"],
        add_dirs=tuple(settings["add_dirs"]),
        sandbox=settings["network"],
        sandbox_kind=settings["kind"],
        sandbox_hosts=tuple(settings["hosts"]),
        verify="quick" if order.get("evidence") else "off",
        hidden=tuple(settings["hidden"]),
        shown=tuple(settings["shown"]),
    )
    homes = tuple(map(Path, settings["homes"]))
    profile = run_profile(options, order["environment"], homes, tuple(order["secrets"]))
    profile = replace(
        profile,
        hosts=replace(profile.hosts, limits=_limits(settings["limits"])),
        readable=(*profile.readable, *order["readable"]),
        writable=(*profile.writable, *order["writable"]),
        locked=tuple(order["locked"]),
    )
    with wrap(tuple(order["argv"]), profile, order["folder"]) as wrapped:
        # These are not part of the profile: it must not include a folder named by the model.
        yield tuple(order["argv"]), {**wrapped.environment, **order["further"]}, wrapped


def _limits(given: Mapping[str, Any] | None) -> "SendLimits | None":
    from ml_intern.sandbox.send_limits import SendLimits

    if given is None:
        return None
    return SendLimits(**{**given, "named": frozenset(given["named"]), "unlimited": frozenset(given["unlimited"])})


if __name__ == "__main__":
    hide_own_process()
    main()
