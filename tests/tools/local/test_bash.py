"""The bash tool: output, exit code, and no surviving processes."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.execution.run import run_call
from tests.execution.conftest import THREAD, Bench, alive, until

# A grandchild that ignores TERM and leaves the process group, one that leaves the session, and a child that waits.
STUBBORN = """
trap '' TERM
timeout 1000 bash -c 'trap "" TERM; echo $$ > pid.1; while :; do sleep 0.1; done' &
setsid bash -c 'trap "" TERM; echo $$ > pid.2; while :; do sleep 0.1; done' &
set -m; sleep 1000 & echo $! > pid.3
while :; do sleep 0.1; done
"""
PIDS = ("pid.1", "pid.2", "pid.3")


def written(bench: Bench) -> bool:
    return all((bench.workspace / name).exists() and (bench.workspace / name).read_text() for name in PIDS)


def survivors(bench: Bench) -> list[str]:
    return [name for name in PIDS if alive(int((bench.workspace / name).read_text()))]


async def test_both_streams_are_returned_in_order_with_the_exit_code(bench: Bench) -> None:
    result = await bench.run("bash", command="echo one; echo two >&2; echo three; exit 3")
    assert result.text == "one\ntwo\nthree\n[exit code 3]"
    assert (result.ok, result.status) == (False, "failed")


async def test_empty_output_is_reported(bench: Bench) -> None:
    assert (await bench.run("bash", command="true")).text == "(no output)\n[exit code 0]"


async def test_a_path_that_cannot_be_resolved_does_not_end_the_call(bench: Bench) -> None:
    assert "internal error" not in (await bench.run("bash", command="readlink /proc/1/exe; echo done")).text


async def test_a_signal_is_named(bench: Bench) -> None:
    assert "[killed by SIGKILL]" in (await bench.run("bash", command="kill -9 $$")).text
    assert "[killed by signal 37]" in (await bench.run("bash", command="kill -37 $$")).text


async def test_stdin_is_empty_and_there_is_no_terminal(bench: Bench) -> None:
    result = await bench.run("bash", command="cat; test -t 1 || echo none; (: </dev/tty) 2>/dev/null || echo nothing")
    assert result.text == "none\nnothing\n[exit code 0]"


async def test_it_runs_in_a_folder_of_the_workspace(bench: Bench) -> None:
    bench.file("sub/file", "")
    assert f"{bench.workspace}/sub\n" in (await bench.run("bash", command="pwd", workdir="sub")).text


@pytest.mark.parametrize("workdir", ["..", "/", "sub/../..", "out"])
async def test_a_folder_outside_the_workspace_is_refused_with_the_remedy(bench: Bench, workdir: str) -> None:
    (bench.workspace / "out").symlink_to("/etc")
    result = await bench.run("bash", command="pwd", workdir=workdir)
    assert "path outside the workspace" in result.text
    assert "--add-dir" in result.text


async def test_a_missing_folder_is_reported(bench: Bench) -> None:
    assert "there is no folder nowhere" in (await bench.run("bash", command="pwd", workdir="nowhere")).text


async def test_a_command_that_cannot_start_fails_with_one_line(bench: Bench) -> None:
    too_long = await bench.run("bash", command=f"true {'x' * 3_000_000}")
    assert (
        too_long.text == "error: refused in every mode: it is longer than 100,000 characters; put it into a script file"
    )
    nul = await bench.run("bash", command="echo \0")
    assert nul.text == "error: refused in every mode: it contains a NUL byte"


async def test_a_timeout_leaves_no_process_even_one_that_ignores_signals(bench: Bench) -> None:
    result = await bench.run("bash", command=STUBBORN, timeout=1)
    assert (result.ok, result.status) == (False, "timeout")
    assert "timed out after 1 s; all its processes were terminated" in result.text
    assert written(bench)
    assert survivors(bench) == []


async def test_output_before_a_timeout_is_returned(bench: Bench) -> None:
    assert (await bench.run("bash", command="echo so far; sleep 100", timeout=1)).text.startswith("so far\n[timed out")


async def test_a_cancelled_command_leaves_no_process(bench: Bench) -> None:
    task = asyncio.create_task(bench.run("bash", command=STUBBORN))
    await until(lambda: written(bench))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert survivors(bench) == []


async def test_a_second_cancel_kills_at_once_without_the_grace_period(bench: Bench) -> None:
    task = asyncio.create_task(bench.run("bash", command=STUBBORN))
    await until(lambda: written(bench))
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert survivors(bench) == []


async def test_background_processes_are_terminated_with_the_command_and_reported(bench: Bench) -> None:
    result = await bench.run("bash", command="sleep 1000 & echo $! > pid; echo started")
    assert result.text == "started\n[exit code 0; 1 background process terminated when it ended]"
    assert not alive(int((bench.workspace / "pid").read_text()))


async def test_a_daemon_that_left_the_session_survives_and_is_not_awaited(bench: Bench) -> None:
    script = "setsid bash -c 'echo $$ > pid; exec sleep 30' & until [ -s pid ]; do :; done"
    result = await bench.run("bash", command=script)
    assert result.text == "(no output)\n[exit code 0]"
    pid = int((bench.workspace / "pid").read_text())
    assert alive(pid)
    await bench.run("bash", command=f"kill {pid}")


async def test_processes_that_outlived_the_agent_are_terminated_when_the_call_is_reported(bench: Bench) -> None:
    call = bench.call("bash", {"command": STUBBORN})
    mark = f"{THREAD}/{call.message_id}/0"
    orphan = await asyncio.create_subprocess_exec(
        "sleep", "1000", env={"PATH": "/usr/bin:/bin", "ML_INTERN_CALL": mark}, start_new_session=True
    )
    await bench.store.journal.start(call.key(THREAD), "bash", "digest of before")
    result = await run_call(call, bench.context())
    assert "1 process still running, now terminated" in result.text
    assert await orphan.wait() == -15


async def test_a_line_of_five_million_characters_is_shortened_and_saved_in_full(bench: Bench) -> None:
    result = await bench.run("bash", command="head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end")
    assert len(result.text) <= 20_000
    assert result.text.startswith("xxxx")
    assert result.text.endswith("end\n[exit code 0]")
    assert result.artifact is not None
    assert result.artifact in result.text
    assert Path(result.artifact).stat().st_size == 5_000_005
    assert Path(result.artifact).stat().st_mode & 0o777 == 0o600


async def test_the_file_with_the_full_output_can_be_read(bench: Bench) -> None:
    result = await bench.run("bash", command="seq 1 100000")
    assert result.artifact is not None
    part = await bench.run("read", path=result.artifact, offset=50_000, limit=2)
    assert part.text.startswith(" 50000\t50000\n 50001\t50001\n[lines 50,000 to 50,001 of 100,000")


async def test_a_short_output_leaves_no_file(bench: Bench) -> None:
    await bench.run("bash", command="echo short")
    assert list(bench.context().artifact_folder.iterdir()) == []


async def test_a_progress_bar_becomes_one_final_line(bench: Bench) -> None:
    script = "for i in $(seq 1 5000); do printf '\\r%d%%' $i; done; printf '\\ndone\\r\\n'"
    assert (await bench.run("bash", command=script)).text == "5000%\ndone\n[exit code 0]"


async def test_unreadable_output_becomes_text(bench: Bench) -> None:
    script = r"printf 'a\0b\xff\xfe c\033[31mred\033[0m \033]0;title\007end\n'"
    assert (await bench.run("bash", command=script)).text == "a\\x00b\ufffd\ufffd cred end\n[exit code 0]"


async def test_output_is_emitted_while_the_command_runs(bench: Bench) -> None:
    task = asyncio.create_task(bench.run("bash", command="echo begun; until [ -e go ]; do sleep 0.01; done; echo over"))
    await until(lambda: bool(bench.sent("tool_log")))
    assert bench.sent("tool_log")[0]["text"] == "begun\n"
    bench.file("go", "")
    await task
    assert "".join(log["text"] for log in bench.sent("tool_log")) == "begun\nover\n"


async def test_a_progress_bar_is_emitted_as_a_line_to_be_replaced(bench: Bench) -> None:
    script = "i=0; until [ -e go ]; do printf '\\r%d of many ' $((i++)); sleep 0.05; done; echo over"
    task = asyncio.create_task(bench.run("bash", command=script))
    await until(lambda: len(bench.sent("tool_log")) > 1)
    bench.file("go", "")
    await task
    *progress, last = [log["text"] for log in bench.sent("tool_log")]
    assert {text.lstrip("0123456789") for text in progress} == {" of many\r"}
    assert last.endswith(" of many over\n")


async def test_half_a_secret_at_the_end_of_an_unfinished_line_is_not_emitted(bench: Bench) -> None:
    script = "printf 'the token is hf_aB3dE5gH7jK9mN'; until [ -e go ]; do sleep 0.01; done; echo 1pQ3sT5vW7yZ9bC1dE3f"
    task = asyncio.create_task(bench.run("bash", command=script))
    await until(lambda: bool(bench.sent("tool_log")))
    bench.file("go", "")
    await task
    assert "aB3dE5gH7jK9mN" not in str([bench.sent("tool_log"), bench.sent("tool_output")])


async def test_a_flood_of_output_causes_few_events_of_bounded_size(bench: Bench) -> None:
    await bench.run("bash", command="seq 1 300000")
    logs = bench.sent("tool_log")
    assert max(len(log["text"]) for log in logs) < 5_000
    assert len(logs) < 100


async def test_a_printed_secret_reaches_neither_text_nor_file_nor_events(bench: Bench) -> None:
    secret = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3f"
    bench.file("secret", f"{secret}\n")
    result = await bench.run("bash", command="yes $(cat secret) | head -1000")
    assert result.artifact is not None
    assert secret not in result.text + Path(result.artifact).read_text() + str(bench.events)


async def test_a_private_key_printed_in_parts_is_redacted(bench: Bench) -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"
    lines = f"-----BEGIN PRIVATE KEY-----\n{body}\n{body}\n-----END PRIVATE KEY-----\n"
    bench.file("key", lines)
    script = 'while read -r line; do echo "$line"; sleep 0.05; done < key; echo after'
    result = await bench.run("bash", command=script)
    assert body not in result.text + str(bench.events)
    assert "after\n[exit code 0]" in result.text
