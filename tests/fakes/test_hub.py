"""The fake Hub is one to its real clients: huggingface_hub in this process, `datasets` and `hf` in their own."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.fakes.hub import Account, Blob, FakeHub
from tests.fakes.hub.server import TOKEN, scrubbed_environment

HF = str(Path(sys.executable).with_name("hf"))


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=TOKEN)


def run(hub: FakeHub, home: Path, *command: str, xet: bool = False) -> str:
    environment = {**scrubbed_environment(), **hub.environment(home, xet=xet)}
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_folder_goes_up_and_comes_down_as_it_was(hub: FakeHub, api: HfApi, tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "sub").mkdir(parents=True)
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Hi\n")
    (source / "model.safetensors").write_bytes(b"\1" * 5000)
    (source / "sub" / "a.txt").write_text("a")
    api.create_repo("ada/m", private=True)
    api.upload_folder(repo_id="ada/m", folder_path=source)

    api.snapshot_download("ada/m", local_dir=tmp_path / "down", cache_dir=tmp_path / "cache")

    for path in ("README.md", "model.safetensors", "sub/a.txt"):
        assert (tmp_path / "down" / path).read_bytes() == (source / path).read_bytes()
    card = api.model_info("ada/m").card_data
    assert card is not None
    assert card.license == "mit"
    assert hub.tokens_at("localhost") == []
    assert [asked.path.split("/")[1] for asked in hub.asked if asked.host.startswith("localhost")] == ["lfs", "lfs"]


def test_commits_branches_tags_and_pull_requests(hub: FakeHub, api: HfApi) -> None:
    hub.add("datasets", "ada/d", {"a.txt": "1\n", "old.txt": "x"})
    add = CommitOperationAdd("a.txt", b"2\n")
    pull = api.create_commit(
        "ada/d", [add, CommitOperationDelete("old.txt")], commit_message="c", repo_type="dataset", create_pr=True
    )
    assert pull.pr_num is not None
    assert "-1\n+2\n" in (api.get_discussion_details("ada/d", pull.pr_num, repo_type="dataset").diff or "")
    api.create_branch("ada/d", branch="side", repo_type="dataset")
    api.create_tag("ada/d", tag="v1", repo_type="dataset")
    api.merge_pull_request("ada/d", pull.pr_num, repo_type="dataset")

    assert [file.path for file in api.list_repo_tree("ada/d", repo_type="dataset")] == ["a.txt"]
    assert [file.path for file in api.list_repo_tree("ada/d", revision="v1", repo_type="dataset")] == [
        "a.txt",
        "old.txt",
    ]
    refs = api.list_repo_refs("ada/d", repo_type="dataset", include_pull_requests=True)
    assert ([b.name for b in refs.branches], [t.name for t in refs.tags]) == (["main", "side"], ["v1"])
    assert api.get_discussion_details("ada/d", pull.pr_num, repo_type="dataset").status == "merged"


def test_it_says_no_in_the_clients_own_errors(hub: FakeHub, api: HfApi, tmp_path: Path) -> None:
    hub.add("models", "org/private", {"a": "1"}, private=True)
    hub.add("models", "org/gated", {"a": "1"}, gated="manual")
    hub.add("models", "org/open", {"a": "1"})
    nobody = HfApi(endpoint=hub.url, token=False)
    cases: list[tuple[type[Exception], Callable[[], object]]] = [
        (RepositoryNotFoundError, lambda: api.model_info("org/none")),
        (RepositoryNotFoundError, lambda: api.model_info("org/private")),
        (RevisionNotFoundError, lambda: api.model_info("org/open", revision="nowhere")),
        (EntryNotFoundError, lambda: api.hf_hub_download("org/open", "b", cache_dir=tmp_path)),
        (GatedRepoError, lambda: api.hf_hub_download("org/gated", "a", cache_dir=tmp_path)),
        (GatedRepoError, lambda: nobody.hf_hub_download("org/gated", "a", cache_dir=tmp_path)),
        (HfHubHTTPError, lambda: api.create_repo("org/mine")),
        (HfHubHTTPError, lambda: HfApi(endpoint=hub.url, token="hf_wrong").whoami()),
    ]
    for expected, ask in cases:
        with pytest.raises(expected):
            ask()
    hub.accounts["hf_other"] = Account("eve", ("org",))
    assert HfApi(endpoint=hub.url, token="hf_other").model_info("org/private").id == "org/private"


def test_a_large_file_is_read_in_parts(hub: FakeHub, api: HfApi) -> None:
    from huggingface_hub import HfFileSystem

    hub.add("models", "ada/big", {"big.bin": Blob(b"head", lfs=True, size=2 << 30)})
    files = HfFileSystem(endpoint=hub.url, token=TOKEN, skip_instance_cache=True)
    with files.open("ada/big/big.bin", block_size=1 << 16) as file:
        assert file.read(6) == b"head\0\0"
    [info] = api.get_paths_info("ada/big", ["big.bin"])
    assert isinstance(info, RepoFile)
    assert info.size == 2 << 30


def test_a_job_really_runs_and_its_log_survives_a_broken_connection(hub: FakeHub, api: HfApi) -> None:
    hub.jobs.cut_logs_after = [3]
    code = """
import os, time
for number in range(6):
    print(number)
time.sleep(1)  # a client that loses the connection to a job that has ended asks no more
print(os.environ["A"], os.environ["B"], "HF_TOKEN" in os.environ)
"""
    job = api.run_job(
        image="python:3.12",
        command=["python", "-c", code],
        env={"A": "env"},
        secrets={"B": "kept"},
        labels={"run": "one"},
        namespace="ada",
    )
    log = list(api.fetch_job_logs(job_id=job.id, namespace="ada", follow=True))
    assert log == ["0", "1", "2", "3", "4", "5", "env kept False"]
    assert hub.jobs.found[job.id].wait() == "COMPLETED"
    assert [one.id for one in api.list_jobs(namespace="ada", labels={"run": "one"})] == [job.id]
    assert "kept" not in str(api.inspect_job(job_id=job.id, namespace="ada"))


def test_jobs_fail_time_out_wait_and_are_cancelled(hub: FakeHub, api: HfApi) -> None:
    def start(*command: str, **choices: Any) -> str:
        return api.run_job(image="x", command=list(command), namespace="ada", **choices).id

    hub.jobs.stuck.add("t4-small")
    stuck = start("true", flavor="t4-small")
    ids = [start("python", "-c", "raise SystemExit(3)"), start("sleep", "60", timeout=1), start("no-such-program")]
    endless = start("sleep", "60")
    api.cancel_job(job_id=endless, namespace="ada")
    ends = [(hub.jobs.found[id].wait(), hub.jobs.found[id].message) for id in ids]
    assert ends[:2] == [("ERROR", "Job failed with exit code: 3"), ("ERROR", "Job timeout")]
    assert ends[2][0] == "ERROR"
    assert hub.jobs.found[endless].stage == "CANCELED"
    assert api.inspect_job(job_id=stuck, namespace="ada").status.stage == "SCHEDULING"
    hub.accounts[TOKEN] = Account("ada", can_pay=False)
    for arguments in ({}, {"flavor": "no-such"}):
        with pytest.raises(HfHubHTTPError):
            start("true", **arguments)


def test_schedules(hub: FakeHub, api: HfApi) -> None:
    made = api.create_scheduled_job(image="x", command=["true"], schedule="@daily", namespace="ada")
    api.suspend_scheduled_job(scheduled_job_id=made.id, namespace="ada")
    assert [(one.id, one.suspend) for one in api.list_scheduled_jobs(namespace="ada")] == [(made.id, True)]
    job = api.trigger_scheduled_job(scheduled_job_id=made.id, namespace="ada")
    assert hub.jobs.found[job.id].wait() == "COMPLETED"
    api.delete_scheduled_job(scheduled_job_id=made.id, namespace="ada")
    assert list(api.list_scheduled_jobs(namespace="ada")) == []


def test_datasets_pushes_and_loads(hub: FakeHub, tmp_path: Path) -> None:
    program = """
from datasets import Dataset, load_dataset
Dataset.from_list([{"text": f"t{n}", "label": n % 2} for n in range(20)]).push_to_hub("ada/rows", private=True)
found = load_dataset("ada/rows", split="train")
print(len(found), found[3])
"""
    assert run(hub, tmp_path, sys.executable, "-c", program).strip() == "20 {'text': 't3', 'label': 1}"
    repository = hub.repository("datasets", "ada/rows")
    assert (repository.private, sorted(repository.files)) == (
        True,
        [".gitattributes", "README.md", "data/train-00000-of-00001.parquet"],
    )
    assert hub.tokens_at("localhost") == []


def test_the_hf_command_uploads_lists_and_downloads(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text('{"f1": 0.9}')
    run(hub, tmp_path, HF, "upload", "ada/cli", "out", "--private")
    assert hub.repository("models", "ada/cli").text("metrics.json") == '{"f1": 0.9}'
    run(hub, tmp_path, HF, "download", "ada/cli", "metrics.json", "--local-dir", "down")
    assert json.loads((tmp_path / "down" / "metrics.json").read_text()) == {"f1": 0.9}
    assert "ada/cli" in run(hub, tmp_path, HF, "models", "ls", "--author", "ada", "--json")


def test_xet_uploads_and_a_local_script_in_a_bucket(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").write_bytes(b"\1" * 300_000)
    (tmp_path / "out" / "README.md").write_text("# Hi\n")
    (tmp_path / "train.py").write_text(
        "import pathlib, sys\n"
        "print('trained with', sys.argv[1])\n"
        "pathlib.Path(__file__).with_name('metrics.json').write_text('{\"f1\": 1}')\n"
    )
    program = """
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("ada/x", private=True)
api.upload_folder(repo_id="ada/x", folder_path="out")
assert open(api.hf_hub_download("ada/x", "model.safetensors"), "rb").read() == b"\\1" * 300_000
job = api.run_uv_job("train.py", script_args=["0.1"], namespace="ada", image="uv")
print(list(api.fetch_job_logs(job_id=job.id, namespace="ada", follow=True))[-1:])
api.wait_for_job(job.id, namespace="ada")
(made,) = [one for one in api.list_bucket_tree("ada/jobs-artifacts") if one.path.endswith("metrics.json")]
api.download_bucket_files("ada/jobs-artifacts", [(made, "metrics.json")])
print(open("metrics.json").read())
"""
    printed = run(hub, tmp_path, sys.executable, "-c", program, xet=True)
    assert printed.endswith("['trained with 0.1']\n{\"f1\": 1}\n")
    assert hub.repository("models", "ada/x").files["model.safetensors"].content == b"\1" * 300_000
    assert not any("/lfs/objects/batch" in asked.path for asked in hub.asked)
    (job,) = hub.jobs.found.values()
    assert job.wait() == "COMPLETED"
    assert sorted(path.partition("/")[2] for path in hub.jobs.buckets["ada/jobs-artifacts"]) == [
        "metrics.json",
        "train.py",
    ]
