"""bash in the OS sandbox: the files and hosts it can reach, that normal work succeeds, and that no process survives."""

import asyncio
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.evidence.checks.hints import without_hints
from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import observe
from ml_intern.execution.call import ToolResult
from ml_intern.execution.process.sessions import members
from ml_intern.execution.run import run_call
from ml_intern.graph.context import sandbox_name
from ml_intern.sandbox.bubblewrap import sandbox_problem
from tests.execution.conftest import Bench, until
from tests.fakes.hub import FakeHub

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the Hub's cache beside the workspace. uv's cache stays, because tests use it."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


async def inside(bench: Bench, command: str, **choices: Any) -> ToolResult:
    args: dict[str, Any] = {name: choices.pop(name) for name in ("timeout", "secrets") if name in choices}
    context = bench.context()
    options = replace(context.options, **{"sandbox": "list", **choices})
    call = bench.call("bash", {"command": command, **args})
    return await run_call(call, replace(context, options=options, sandbox_profile=sandbox_name(options)))


async def test_the_workspace_is_writable_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    result = await inside(bench, f"echo x > made; echo x > {tmp_path}/beside/made; echo x > /etc/made; ls {tmp_path}")
    assert (bench.workspace / "made").read_text() == "x\n"
    assert list((tmp_path / "beside").iterdir()) == []
    assert not Path("/etc/made").exists()
    assert "beside" not in result.text.splitlines()


async def test_added_folders_are_writable(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    await inside(bench, f"touch {tmp_path}/more/made", add_dirs=(str(tmp_path / "more"),))
    assert (tmp_path / "more" / "made").exists()


async def test_home_threads_and_secrets_are_hidden(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_fake")
    monkeypatch.setenv("MY_PRIVATE", "value")
    result = await inside(bench, f"ls -a ~; ls {bench.store.home}; env; cat /proc/{os.getpid()}/environ")
    for outside in ("threads.db", ".ssh", "HF_TOKEN", "hf_fake", "MY_PRIVATE"):
        assert outside not in result.text


async def test_exit_code_output_and_folder_are_the_same_as_without_a_sandbox(bench: Bench) -> None:
    bench.file("sub/file", "")
    result = await inside(bench, "cd sub; pwd; echo err >&2; exit 5")
    assert result.text == f"{bench.workspace}/sub\nerr\n[exit code 5]"
    assert (await inside(bench, "test -t 0 || echo no terminal")).text == "no terminal\n[exit code 0]"


async def test_a_timeout_terminates_everything_after_time_to_clean_up(bench: Bench) -> None:
    tidy = (
        "trap 'sleep 0.3; echo cleaned > sign; exit' TERM; echo ready; setsid sleep 1000 & while :; do sleep 0.05; done"
    )
    result = await inside(bench, tidy, timeout=1)
    assert result.status == "timeout"
    assert (bench.workspace / "sign").read_text() == "cleaned\n"
    assert members(None, bench.context().thread_id) == []


async def test_cancelling_kills_processes_that_ignore_sigterm(bench: Bench) -> None:
    stubborn = "trap '' TERM; setsid bash -c 'trap \"\" TERM; sleep 1000' & echo x > sign; while :; do sleep 0.1; done"
    task = asyncio.create_task(inside(bench, stubborn))
    await until((bench.workspace / "sign").exists)
    mark = f"{bench.context().thread_id}/msg_1/0"
    assert members(None, mark)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert members(None, mark) == []


ENV = "HF_TOKEN=hf_aVeryFakeTokenForTheTests0002\nMODE=offline\n"


async def test_secrets_in_the_workspace_are_hidden_too(bench: Bench) -> None:
    bench.file(".env", ENV)
    result = await inside(bench, "python3 -c 'print(open(\".env\").read()[::-1])'; echo X=1 >> .env; mv .env e; ls -A")
    assert "2000stseT" not in result.text
    assert "enilffo=EDOM" in result.text
    assert (bench.workspace / ".env").read_text() == ENV


async def test_only_a_command_that_names_a_secret_gets_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_aVeryFakeTokenForTheTests0003")
    monkeypatch.setenv("NOTHING_SPECIAL", "x")
    command = "echo ${#HF_TOKEN} ${#WANDB_API_KEY}"
    asking = {"approval_mode": "yolo", "secrets": ["HF_TOKEN"]}
    assert (await inside(bench, command)).text == "0 0\n[exit code 0]"
    assert (await inside(bench, command, **asking)).text == "32 0\n[exit code 0]"
    assert (await inside(bench, command, **asking, sandbox="none")).text == "32 0\n[exit code 0]"
    for name in ("WANDB_API_KEY", "NOTHING_SPECIAL"):
        refused = await inside(bench, command, approval_mode="yolo", secrets=[name])
        assert f"there is no secret named {name}" in refused.text


async def test_hooks_and_settings_git_would_run_are_removed_and_reported(bench: Bench) -> None:
    hook = "open('.git/hooks/pre-commit', 'w').write('evil')"
    setting = "open('.git/config', 'a').write('[core]\\n\\tpager = evil\\n')"
    bench.file("made.py", f"{hook}\n{setting}\n")
    result = await inside(bench, "git init -q . && python3 made.py")
    assert f"removed, because git would run it: {bench.workspace}/.git/hooks/pre-commit, core.pager in" in result.text


@pytest.fixture
def server() -> Iterator[str]:
    """A local server that stands for a host on the network."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello from outside\n")

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    thread.join()
    serving.server_close()


async def test_the_network_follows_the_runs_options_and_a_refusal_names_the_remedy(bench: Bench, server: str) -> None:
    fetch = f"curl -s -m 10 {server}"
    assert "hello" not in (await inside(bench, fetch, sandbox="off")).text
    assert "hello" not in (await inside(bench, fetch, sandbox="list")).text
    assert "hello from outside" in (await inside(bench, fetch, sandbox="list", sandbox_hosts=(server,))).text
    refused = await inside(bench, "curl -s -m 10 http://nowhere.example:8080/; curl -s -m 10 https://nowhere.example")
    assert (
        "blocked connections to nowhere.example:8080, nowhere.example:443; if the task needs them, ask the user"
        in refused.text
    )


async def test_git_works_but_its_hooks_and_settings_cannot_be_changed(bench: Bench) -> None:
    git = "git -c user.name=n -c user.email=e@x"
    result = await inside(bench, f"git init -q . && touch a && git add a && {git} commit -qm one && git log --oneline")
    assert " one" in result.text
    await inside(bench, "echo evil > .git/hooks/pre-commit; mv .git .git2; git config core.pager evil")
    assert not (bench.workspace / ".git" / "hooks" / "pre-commit").exists()
    assert (bench.workspace / ".git" / "config").exists()
    assert "evil" not in (bench.workspace / ".git" / "config").read_text()


async def test_python_and_uv_are_the_users(bench: Bench) -> None:
    outside = await bench.run("bash", command="python3 -c 'import sys; print(sys.version)'; uv --version")
    assert (await inside(bench, "python3 -c 'import sys; print(sys.version)'; uv --version")).text == outside.text


SCRIPT = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=2,<3"]
# ///
import json
import numpy as np

rng = np.random.default_rng(7)
x = rng.normal(size=(200, 3))
y = (x @ [2.0, -1.0, 0.5] + 0.1 * rng.normal(size=200) > 0).astype(float)
weights = np.zeros(3)
for _ in range(300):
    weights -= 0.5 * x.T @ (1 / (1 + np.exp(-x @ weights)) - y) / len(y)
accuracy = float(((x @ weights > 0) == y).mean())
print("accuracy", accuracy)
json.dump({"accuracy": accuracy}, open("metrics.json", "w"))
"""


JOBLIB = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["joblib>=1.4"]
# ///
from joblib import Parallel, delayed

print("sum", sum(Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(5))))
"""
DOWNLOAD = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["huggingface_hub>=1"]
# ///
from pathlib import Path
from huggingface_hub import snapshot_download

folder = Path(snapshot_download("someone/reviews", repo_type="dataset"))
print("rows", len((folder / "train.jsonl").read_text().splitlines()))
"""


@pytest.fixture
def index() -> None:
    """Skip without a package index."""
    probe = ["uv", "run", "--no-project", "--with", "joblib>=1.4", "python", "-c", "pass"]
    done = subprocess.run(probe, capture_output=True, check=False)
    if done.returncode and not os.environ.get("TESTS_REQUIRE_INDEX"):
        pytest.skip("needs the package index")


@pytest.mark.index
@pytest.mark.usefixtures("index")
async def test_a_script_with_dependencies_trains_inside(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packages are installed through the host list into an empty cache."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    bench.file("train.py", SCRIPT)
    result = await inside(bench, "uv run train.py", timeout=150)
    assert "accuracy 0.9" in result.text
    assert (bench.workspace / "metrics.json").exists()
    assert (tmp_path / "uv").exists()


@pytest.mark.index
@pytest.mark.usefixtures("index")
async def test_joblib_runs_jobs_in_parallel_inside(bench: Bench) -> None:
    bench.file("parallel.py", JOBLIB)
    assert "sum 10" in (await inside(bench, "uv run parallel.py", timeout=150)).text


@pytest.mark.index
@pytest.mark.usefixtures("index")
async def test_a_dataset_is_downloaded_inside_without_a_token(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHub() as hub:
        hub.add("datasets", "someone/reviews", {"train.jsonl": '{"text": "good"}\n{"text": "bad"}\n'})
        for name, value in hub.environment(tmp_path / "hub").items():
            monkeypatch.setenv(name, value)
        bench.file("download.py", DOWNLOAD)
        result = await inside(bench, "uv run download.py", timeout=150)
        assert "rows 2" in result.text
        assert {asked.token for asked in hub.asked} == {None}
    assert not list((tmp_path / "hub/hub").glob("datasets--*"))
    assert "datasets--someone--reviews" in (await inside(bench, "ls $HF_HOME/hub")).text


async def test_what_a_command_sends_is_limited_once_outside_text_is_in_the_conversation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sink(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/x"
        monkeypatch.setenv("HF_ENDPOINT", url)
        code = f"import urllib.request as u; print(u.urlopen({url!r}, b'private').status)"
        call = bench.call("bash", {"command": f'NO_PROXY= no_proxy= python3 -c "{code}"'})
        options = replace(bench.context().options, sandbox="list", approval_mode="auto")
        context = replace(bench.context(), options=options, sandbox_profile=sandbox_name(options))
        assert "204" in (await run_call(call, context)).text
        limited = await run_call(replace(call, index=1), replace(context, taint=("https://page.example",)))
        server.shutdown()
    assert "204" not in limited.text
    assert "the sandbox cut the connection: POST to 127.0.0.1 is not allowed while text from" in limited.text
    assert "ask the user to send the data" in limited.text


async def test_programs_that_a_script_starts_are_part_of_the_evidence_and_a_function_is_not_a_program(
    bench: Bench,
) -> None:
    bench.file("run.sh", "exec python3 -c 'print(6 * 7)'\n")
    await inside(bench, "sh run.sh", verify="quick")
    await inside(bench, "python3() { cat run.sh; }; python3 eval.py", verify="quick")
    script, function = (await observe(bench.context())).executions
    assert [(one.name, one.code) for one in script.programs] == [("sh", ""), ("python3", "print(6 * 7)")]
    assert (function.ran, function.missed) == (False, "")


FALLBACK = """import os, random, warnings
from pathlib import Path

class ConvergenceWarning(UserWarning):
    pass

def load(path):
    try:
        return Path(path).read_text()
    except KeyError:
        return str(random.choice([1, 2]))
    except (OSError, ValueError):
        return str(random.gauss(0, 1))

warnings.filterwarnings("ignore")
warnings.warn("lbfgs failed to converge", ConvergenceWarning)
text = load(os.environ["DATA"])
print("loss", float(text))
"""


def later_python() -> str:
    """Return a Python that can report caught exceptions, or ""."""
    if sys.version_info >= (3, 12):
        return sys.executable
    command = ["uv", "python", "find", "--offline", ">=3.12"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return os.path.realpath(found.stdout.strip()) if found.returncode == 0 else ""


@pytest.mark.parametrize(
    "python",
    [
        sys.executable,
        pytest.param(
            later_python(), marks=pytest.mark.skipif(not later_python(), reason="sys.monitoring is new in Python 3.12")
        ),
    ],
    ids=["this", "later"],
)
async def test_a_handler_that_replaced_the_data_is_seen_if_it_ran_and_so_is_a_hidden_warning(
    python: str, bench: Bench
) -> None:
    bench.file("train.py", FALLBACK)
    bench.file("data.csv", "0.25")
    for data in ("data.csv", "absent.csv"):
        ended = await inside(bench, f"DATA={data} {python} train.py", verify="quick")
        assert ended.ok, ended.text
    seen = replace(await observe(bench.context()), level="quick")
    rules = []
    for one in seen.executions:
        loss = float(one.text.split()[1])
        verdict = await check_answer(f"The loss is {loss:.4f}.", replace(seen, executions=(one,)))
        rules.append([finding.rule for finding in verdict.findings])
    assert ["except-substitutes" in one for one in rules] == [False, True]
    converged = await check_answer("It converged.", seen)
    assert [one.state for one in converged.claims] == ["contradicted"]


HINTED = """import random, sitecustomize
random.seed(7)
print(sitecustomize.mark)
"""


async def test_python_reports_its_seeds_and_runs_the_sitecustomize_that_was_there_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.file("own/sitecustomize.py", "mark = 'own'\n")
    bench.file("train.py", HINTED)
    monkeypatch.setenv("PYTHONPATH", str(bench.workspace / "own"))
    assert (await inside(bench, "python3 train.py", verify="quick")).text.startswith("own\n")
    await inside(bench, "python3 -I -c pass", verify="quick")
    reported, silent = (await observe(bench.context())).executions
    assert "seed random.seed 7" in reported.hints
    assert [bool(without_hints(one)) for one in (reported, silent)] == [False, True]


SCORED = """import sys
sys.path.insert(0, "site-packages")
from sklearn.metrics._classification import accuracy_score
rows = [line for line in open("test.csv")][1:]
def score(rows):
    return accuracy_score([one.strip() for one in rows], ["1"] * len(rows))
print("accuracy", score(rows[:8]))
"""
METRIC = """def _check_targets(one, other):
    return one, other

def accuracy_score(one, other):
    return sum(a == b for a, b in zip(*_check_targets(one, other))) / len(one)
"""


async def test_a_metric_reports_its_rows_and_the_lines_that_lead_to_it(bench: Bench) -> None:
    for name, text in (("__init__", ""), ("metrics/__init__", ""), ("metrics/_classification", METRIC)):
        bench.file(f"site-packages/sklearn/{name}.py", text)
    bench.file("train.py", SCORED)
    bench.file("test.csv", "label\n" + "1\n" * 20)
    assert (await inside(bench, "python3 train.py", verify="quick")).text.startswith("accuracy 1.0")
    seen = replace(await observe(bench.context()), level="quick")
    assert f"metric rows=8 lines=6,7 {bench.workspace}/train.py" in seen.executions[0].hints
    verdict = await check_answer("The accuracy on test.csv is 1.0.", seen)
    assert "part-of-test-rows" in [one.rule for one in verdict.findings]
