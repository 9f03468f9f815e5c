"""Runs over ssh on a real sshd of this machine."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from ml_intern.configs.errors import TemporaryError
from ml_intern.graph.events import emitter
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_of
from ml_intern.runs.poll import poll, refresh, stop
from ml_intern.runs.remote import outputs
from ml_intern.runs.watch import Watch
from tests.execution.conftest import THREAD, until
from tests.fakes.hub import FakeHub
from tests.runs.remote.conftest import RemoteBench, check_that_everything_ends
from tests.runs.remote.pools import check_that_they_share_a_study, optuna_sweep
from tests.runs.remote.sshd import Sshd, end_connections
from tests.tools.hub.conftest import client, hub

__all__ = ["client", "hub"]


async def test_a_command_runs_in_a_copy_of_the_workspace(box: RemoteBench) -> None:
    box.file("data/rows.txt", "one\ntwo\n")
    box.file(".env", "TOKEN=abc")
    row = await box.ended(await box.started(command="wc -l < data/rows.txt; ls -A; echo 'loss=0.5'; exit 3"))
    assert (row.state, row.exit_code, row.hardware, row.metrics) == ("failed", 3, "box", '{"loss": 0.5}')
    assert row.tail.splitlines() == [
        "ml-intern: not delivered, because they usually contain secrets: .env", "2", "data", "loss=0.5",
    ]  # fmt: skip


async def test_a_script_runs_with_arguments_secrets_and_the_setup_of_its_target(
    box: RemoteBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "wandb-secret-1")
    box.target["setup"] = "export FROM_SETUP=yes"
    box.file(
        "work/train.py",
        "import os, sys; print(sys.argv[1:], os.environ['FROM_SETUP'], len(os.environ['WANDB_API_KEY']))",
    )
    row = await box.ended(await box.started(script="work/train.py", args=["--epochs", "3"], secrets=["WANDB_API_KEY"]))
    assert (row.state, row.tail.strip()) == ("succeeded", "['--epochs', '3'] yes 14")
    there = [path.read_bytes() for path in Path(box.target["workdir"]).rglob("*") if path.is_file()]
    assert there
    assert not any(b"wandb-secret-1" in content for content in there)


async def test_a_script_in_a_subfolder_runs_in_the_image_of_its_target(
    box: RemoteBench, stand_in: Callable[[str, str], None]
) -> None:
    """A program of that name stands in for apptainer: it prints its options and runs the command."""
    stand_in("apptainer", 'echo "options: $*" | sed "s/ python3.*//"; while [ "$1" != my.sif ]; do shift; done')
    box.target["container"] = "my.sif"
    box.target["setup"] = f"export PATH={box.workspace.parent}/programs:$PATH"
    box.file("work/train.py", "print('trained')")
    row = await box.ended(await box.started(script="work/train.py", workdir="work"))
    work = Path(box.target["workdir"]) / "runs" / row.id / "work"
    assert row.tail.splitlines() == [
        f"options: exec --nv --bind {work} my.sif", "trained",
    ]  # fmt: skip


async def test_only_what_changed_is_sent_again(box: RemoteBench) -> None:
    box.file("large.bin", os.urandom(300_000))
    await box.ended(await box.started(command="true"))
    blobs = Path(box.target["workdir"]) / "blobs"
    before = {path: path.stat().st_ino for path in blobs.rglob("*") if path.is_file()}
    box.file("small.txt", "new")
    row = await box.ended(await box.started(command="cat small.txt; echo; wc -c < large.bin"))
    assert row.tail.split() == ["new", "300000"]
    after = {path: path.stat().st_ino for path in blobs.rglob("*") if path.is_file()}
    assert (len(after), {path: after[path] for path in before}) == (len(before) + 1, before)


async def test_a_second_start_of_a_run_starts_nothing(box: RemoteBench) -> None:
    row = await box.started(
        command="echo started >> $HOME_OF_TEST/starts; sleep 60", env={"HOME_OF_TEST": str(box.workspace)}
    )
    backend, context = backend_of("ssh", box.store), box.context()
    plan = RunPlan("ssh", "other", box.workspace, ("bash", "-c", "echo again >> starts"), target="box", limit_s=60)
    handles = await asyncio.gather(*(backend.launch(plan, row.id, context) for _ in range(4)))
    assert {json.loads(handle)["id"] for handle in handles} == {row.id}
    await until((box.workspace / "starts").exists)
    await stop(box.store, row)
    assert (box.workspace / "starts").read_text() == "started\n"
    assert await backend.find(row.id) is not None


async def test_cancelling_and_the_time_limit_end_everything_that_a_run_started(box: RemoteBench) -> None:
    await check_that_everything_ends(box)


async def test_a_killed_supervisor_is_a_lost_run(box: RemoteBench) -> None:
    row = await box.started(command="echo begun; sleep 600")
    status = json.loads((Path(box.target["workdir"]) / "runs" / row.id / "status.json").read_text())
    os.kill(status["pid"], signal.SIGKILL)
    row = await box.ended(row)
    assert (row.state, row.reason) == ("lost", "its supervisor was killed")


async def test_a_run_on_another_machine_with_the_same_folder_is_not_stopped_by_its_process_id(box: RemoteBench) -> None:
    row = await box.started(command="sleep 600")
    file = Path(box.target["workdir"]) / "runs" / row.id / "status.json"
    status = file.read_text()
    file.write_text(json.dumps({**json.loads(status), "boot": "of another machine", "host": "node7"}))
    with pytest.raises(TemporaryError, match="it runs on node7, not on "):
        await stop(box.store, row)
    file.write_text(status)
    assert (await poll(box.store, row)).state == "running"
    assert (await stop(box.store, row)).state == "cancelled"


async def test_a_run_that_was_never_started_never_starts(box: RemoteBench) -> None:
    backend, context = backend_of("ssh", box.store), box.context()
    plan = RunPlan("ssh", "true", box.workspace, ("true",), target="box", limit_s=60)
    assert await backend.find("run-unknown") is None
    handle = await backend.launch(plan, "run-1", context)
    assert not await backend.abandon("run-1")
    known = json.loads(handle)
    folder = box.store.home / "runs" / "run-2"
    folder.mkdir()
    (folder / "target.json").write_text(json.dumps({**known, "id": "run-2"}))
    assert await backend.find("run-2") is None
    assert await backend.abandon("run-2")
    assert (await backend.inspect(await backend.launch(plan, "run-2", context))).reason == "it was never started"


async def test_many_runs_are_polled_in_one_request(box: RemoteBench, tmp_path: Path) -> None:
    rows = await asyncio.gather(*(box.started(command="sleep 600", name=f"n{number}") for number in range(12)))
    counted = tmp_path / "bin"
    counted.mkdir()
    (counted / "ssh").write_text(f'#!/bin/sh\necho >> {tmp_path}/calls\nexec /usr/bin/ssh "$@"\n')
    (counted / "ssh").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{counted}:{os.environ['PATH']}")
        assert await refresh(box.store) == []
    assert (tmp_path / "calls").read_text() == "\n"
    assert {row.state for row in await box.store.runs.list()} == {"running"}
    for row in await box.store.runs.list():
        await stop(box.store, row)
    assert len(rows) == 12


async def test_files_of_a_run_are_copied_and_those_that_programs_obey_are_not(box: RemoteBench) -> None:
    row = await box.ended(
        await box.started(command="mkdir -p out .git; echo 1 > out/a.json; echo 2 > out/b.txt; echo x > .envrc")
    )
    result = await box.jobs(operation="fetch", run=row.id, outputs=["out/*.json", ".envrc"])
    assert result.ok
    assert result.taint
    assert (box.workspace / "outputs" / row.id / "out" / "a.json").read_text() == "1\n"
    assert "not copied: .envrc" in result.text
    refused = await box.jobs(operation="fetch", run=row.id, outputs=["../../*"])
    assert not refused.ok
    assert {path.name for path in (box.workspace / "outputs").rglob("*") if path.is_file()} == {"a.json"}


async def test_a_large_file_stays_there_and_goes_to_the_hub_by_the_command_that_names_it(
    box: RemoteBench, hub: FakeHub, client: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MAX_FILE_BYTES", 1_000)
    box.target["setup"] = f"export PATH={Path(sys.executable).parent}:$PATH"
    row = await box.ended(await box.started(command="mkdir 'last step'; head -c 1001 /dev/zero > 'last step/net.bin'"))
    said = (await box.jobs(operation="fetch", run=row.id, outputs=["*/*.bin"])).text
    assert "not copied: last step/net.bin (1,001 bytes, sha256 " in said
    assert not list(box.workspace.rglob("*.bin"))
    command = said.partition("hf upload ")[2].rpartition(")")[0].replace("USER/REPO", "ada/net")
    client.create_repo("ada/net")
    uploaded = await box.ended(
        await box.started(command=f"hf upload {command}", secrets=["HF_TOKEN"], env={"HF_ENDPOINT": hub.url})
    )
    assert uploaded.state == "succeeded", uploaded.tail
    (path,) = [path for path in client.list_repo_files("ada/net") if path.endswith(".bin")]
    (info,) = client.get_paths_info("ada/net", [path])
    assert isinstance(info, RepoFile)
    assert info.size == 1_001


async def test_without_the_network_a_run_goes_on_and_its_state_is_known_later(box: RemoteBench, sshd: Sshd) -> None:
    row = await box.started(
        command="echo one; until [ -e $END ]; do sleep 0.05; done; echo two", env={"END": str(box.workspace / "end")}
    )
    sshd.stop()
    end_connections(box.connections)
    with pytest.raises(TemporaryError, match="box cannot be reached"):
        await poll(box.store, row)
    (box.workspace / "end").touch()
    with pytest.raises(TemporaryError):
        await backend_of("ssh", box.store).find(row.id)
    refused = await box.jobs(operation="run", target="box", command="true")
    assert "the run was not started: box cannot be reached" in refused.text
    sshd.start()
    row = await box.ended(row)
    assert (row.state, row.tail.split()) == ("succeeded", ["one", "two"])


async def test_a_session_reports_once_that_a_machine_is_away_and_once_that_it_is_back(
    box: RemoteBench, sshd: Sshd
) -> None:
    rows = [await box.started(command="sleep 600") for _ in range(3)]
    reports: list[str] = []
    watch = Watch(box.store, THREAD, emitter(lambda event: reports.append(event["data"]["text"])), lambda: None)
    watch.start()
    sshd.stop()
    end_connections(box.connections)
    await until(lambda: any("status not available: box cannot be reached" in text for text in reports))
    sshd.start()
    await until(lambda: any("status available again" in text for text in reports))
    await asyncio.gather(*(stop(box.store, row) for row in rows))
    await watch.close()
    assert len([text for text in reports if "available" in text]) == 2


async def test_who_follows_a_log_reads_once_that_the_machine_is_away_and_once_that_it_is_back(
    box: RemoteBench, sshd: Sshd
) -> None:
    row = await box.started(
        command="echo one; until [ -e $END ]; do sleep 0.05; done; echo two", env={"END": str(box.workspace / "end")}
    )
    errors, output = (box.workspace.parent / name for name in ("errors", "output"))
    with output.open("wb") as out, errors.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ml_intern", "jobs", "logs", "-f", row.id), stdout=out, stderr=err,
            env={**os.environ, "ML_INTERN_HOME": str(box.store.home), "TMPDIR": str(box.connections)},
        )  # fmt: skip
    await until(lambda: output.read_text() == "one\n")
    sshd.stop()
    end_connections(box.connections)
    await until(lambda: "note: box cannot be reached" in errors.read_text())
    await asyncio.sleep(3)  # at least one more poll fails
    sshd.start()
    await until(lambda: "available again" in errors.read_text())
    (box.workspace / "end").touch()
    assert await process.wait() == 0
    assert output.read_text() == "one\ntwo\n"
    assert len(errors.read_text().splitlines()) == 2


async def test_an_unknown_target_and_gpus_without_a_queue_are_refused(box: RemoteBench) -> None:
    unknown = await box.jobs(operation="run", target="other", command="true")
    assert "there is no target 'other'; the targets are box (ssh)" in unknown.text
    gpus = await box.jobs(operation="run", target="box", command="true", gpus="2")
    assert "box has no queue for GPUs" in gpus.text
    nodes = await box.jobs(operation="run", target="box", command="true", nodes=2)
    assert "box uses one machine for a run: leave nodes out" in nodes.text
    here = await box.jobs(operation="run", command="true", gpus="1")
    assert "backend local has no queue for GPUs" in here.text
    assert await box.store.runs.list() == []
    missing = await box.jobs(operation="run", backend="ssh", command="true")
    assert "backend ssh needs a target: box (ssh)" in missing.text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"host": "no-such-host.invalid"}, "does not resolve"),
        ({"key": "host_key"}, "it refused the login"),
        ({"known_hosts": ""}, "its host key is unknown"),
    ],
)
async def test_a_machine_that_cannot_be_used_is_one_line_with_the_remedy(
    box: RemoteBench, sshd: Sshd, tmp_path: Path, change: dict[str, str], problem: str
) -> None:
    config = sshd.config.read_text()
    if "key" in change:
        config = config.replace("user_key", "host_key")
    if "known_hosts" in change:
        (tmp_path / "known").write_text("")
        config = config.replace(str(sshd.folder / "known_hosts"), str(tmp_path / "known"))
    (tmp_path / "config").write_text(config)
    box.target |= {"ssh_config": str(tmp_path / "config"), "host": change.get("host", "box")}
    result = await box.jobs(operation="run", target="box", command="true")
    assert not result.ok
    assert problem in result.text
    assert len(result.text.splitlines()) == 1


async def test_polls_at_the_same_time_copy_each_line_once(box: RemoteBench, tmp_path: Path) -> None:
    row = await box.ended(await box.started(command="seq 1000"))
    log, backend = tmp_path / "copy" / "log.txt", backend_of("ssh", box.store)
    await asyncio.gather(*(backend.fetch_log(row.handle or "", log) for _ in range(6)))
    assert log.read_text() == "".join(f"{number}\n" for number in range(1, 1001))


async def test_the_runs_of_an_optuna_sweep_share_a_study_there(box: RemoteBench) -> None:
    await check_that_they_share_a_study(box, await optuna_sweep(box))
