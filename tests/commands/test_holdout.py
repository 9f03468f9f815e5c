"""`--holdout FILE`: the agent cannot read the file, and what it delivers is scored on it once, at the end."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.execution.sandboxed import own_homes, run_profile
from ml_intern.graph.context import RunOptions
from ml_intern.sandbox.wrap import wrap
from tests.commands.conftest import Done, call
from tests.commands.test_reproduction import answer, train
from tests.fakes.hub.server import TOKEN, FakeHub

Run = Callable[..., Done]
Script = Callable[..., str]
EVALUATE = """import pickle, sys
known = pickle.load(open("model.pkl", "rb"))
rows = [line.split(",") for line in open(sys.argv[1]).read().split()[1:]]
print("accuracy", sum(known.get(one) == label for one, label in rows) / len(rows))
"""
TASK = "Train a model, save it as model.pkl, evaluate it with eval.py on test.csv."
SECRET = "a7,hidden"

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


@pytest.fixture
def holdout(place: Path) -> str:
    """A hold-out beside a working folder with an evaluator and test data."""
    (place / "eval.py").write_text(EVALUATE)
    (place / "test.csv").write_text("x,label\n" + "".join(f"a{n},{n % 3}\n" for n in range(200)))
    file = place.parent / "hidden" / "holdout.csv"
    file.parent.mkdir()
    file.write_text("x,label\n" + "".join(f"a{n},{n % 3}\n" for n in range(100, 300)) + SECRET + "\n")
    return str(file)


def evaluate() -> dict[str, object]:
    return {"tool_calls": [call("bash", command="python3 eval.py test.csv")]}


def test_the_artifact_is_scored_once_and_the_model_is_not_told(
    run: Run, script: Script, place: Path, holdout: str
) -> None:
    model = script(train(80), evaluate(), answer(0.8), train(100), evaluate(), answer(1.0))
    done = run("--output-format", "json", "--holdout", holdout, "-m", model, TASK)
    score = done.json["evidence"]["holdout"]
    assert (done.code, score["state"], score["metrics"]) == (0, "scored", {"accuracy": "0.29850746268656714"})
    assert "accuracy is 0.2985" in done.json["evidence"]["findings"][-1]["message"]
    again = run("--output-format", "json", "-c", "better")
    assert again.json["evidence"]["holdout"]["metrics"] == score["metrics"]
    assert again.json["evidence"]["holdout"]["why"] == "scored before, for an earlier answer"


def test_a_model_that_only_the_evaluator_knows_is_scored(run: Run, script: Script, place: Path, holdout: str) -> None:
    (place / "eval.py").write_text(
        EVALUATE.replace("pickle.load", "eval").replace('open("model.pkl", "rb")', "open(sys.argv[2]).read()")
    )
    command = 'python3 -c \'open("model.json", "w").write("{}")\'; python3 eval.py test.csv model.json'
    model = script({"tool_calls": [call("bash", command=command)]}, {"text": "The model is saved in model.json."})
    done = run("--output-format", "json", "--holdout", holdout, "-m", model, TASK)
    assert done.json["evidence"]["holdout"]["metrics"] == {"accuracy": "0.0"}
    assert (place / "model.json.intoto.json").is_file()


def test_nothing_that_the_agent_does_reads_it(run: Run, script: Script, place: Path, holdout: str) -> None:
    (place / "link").symlink_to(holdout)
    background = "cat HOLDOUT; sleep 0.1; echo ended".replace("HOLDOUT", holdout)
    calls = [
        call("bash", command=f"cat {holdout} link; cp {holdout} here.csv; ln {holdout} hard; echo ended"),
        call("bash", command=f"python3 -c 'print(open({holdout!r}).read())'".replace("'", '"', 1)[:-1] + '"'),
        call("read", path=holdout),
        call("read", path="link"),
        call("read", path=str(Path(holdout).parent)),
        call("bash", command=background, background=True),
        call("jobs", operation="run", backend="local", command=f"cat {holdout}"),
        call("hub_repos", operation="upload", repo="me/x", local=holdout),
    ]
    wait = [{"tool_calls": [call("bash", command="sleep 1")]}]
    model = script(*({"tool_calls": [one]} for one in calls), *wait, {"text": "I read nothing."})
    done = run("--output-format", "stream-json", "--holdout", holdout, "-m", model, "read it")
    results = [one["data"] for one in done.events if one["type"] == "tool_output"]
    assert len(results) == len(calls) + 1
    assert all(SECRET not in str(one) for one in done.events)
    assert [one["ok"] for one in results[2:5]] == [False] * 3
    assert not any(SECRET in path.read_text() for path in place.rglob("*") if path.is_file() and path.name != "link")
    logs = [path.read_text(errors="replace") for path in (place.parent / "home").rglob("log.txt")]
    assert logs
    assert not any(SECRET in log for log in logs)


def test_commands_find_it_empty_whatever_folder_it_is_in(place: Path) -> None:
    (place / "holdout.csv").write_text(SECRET)
    options = RunOptions(model="", workspace=str(place), sandbox="off", holdout=str(place / "holdout.csv"))
    profile = run_profile(options, dict(os.environ), own_homes())
    with wrap(("bash", "-c", "cat holdout.csv; mv holdout.csv x || echo stays"), profile) as wrapped:
        shown, _ = wrapped.start(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).communicate(timeout=60)
    assert shown == b"stays\n"


def test_it_is_refused_where_the_agent_could_read_it(run: Run, script: Script, place: Path, holdout: str) -> None:
    model = script({"text": "x"})
    inside = run("--holdout", "test.csv", "-m", model, "go")
    assert (inside.code, "is in a working folder" in inside.err) == (2, True)
    open_run = run("--holdout", holdout, "--no-sandbox", "-m", model, "go")
    assert (open_run.code, "--holdout needs the sandbox" in open_run.err) == (78, True)
    unchecked = run("--holdout", holdout, "--verify", "off", "-m", model, "go")
    assert (unchecked.code, "--verify quick" in unchecked.err) == (2, True)
    missing = run("--holdout", f"{holdout}x", "-m", model, "go")
    assert (missing.code, "is not a file" in missing.err) == (2, True)


def test_a_split_of_a_dataset_is_named_by_its_folder(run: Run, script: Script, place: Path, holdout: str) -> None:
    folder = place.parent / "reviews"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.csv").write_text("x,label\nb1,1\n")
    (folder / "data" / "test-00000-of-00001.csv").write_text(Path(holdout).read_text())
    look = {"tool_calls": [call("read", path=f"{folder}/data/test-00000-of-00001.csv")]}
    model = script(look, train(80), evaluate(), answer(0.8))
    done = run("--output-format", "json", "--holdout", f"{folder}:test", "-m", model, TASK)
    score = done.json["evidence"]["holdout"]
    assert (done.code, score["state"], score["file"]) == (0, "scored", "test-00000-of-00001.csv")
    exported = run("threads", "export", done.json["thread_id"]).out
    assert "is the hold-out of this thread" in exported
    assert SECRET not in exported
    missing = run("--holdout", f"{folder}:dev", "-m", model, "go")
    assert (missing.code, "has no file of the split dev" in missing.err) == (2, True)
    nowhere = run("--holdout", f"{folder}x:test", "-m", model, "go")
    assert (nowhere.code, "as ORG/NAME:SPLIT" in nowhere.err) == (2, True)


def test_a_split_of_a_dataset_on_the_hub_is_fetched_once_and_the_agent_cannot_get_it(
    run: Run, script: Script, place: Path, holdout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Path(holdout).read_text()
    cache = place.parent / "no-login" / "hub" / "datasets--lab--reviews" / "snapshots" / "x"
    cache.mkdir(parents=True)
    (cache / "test.csv").write_text(secret)
    with FakeHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        hub.add("datasets", "lab/reviews", {"data/test.csv": secret, "train.csv": "x,label\nb1,1\n"})
        url = f"{hub.url}/datasets/lab/reviews/resolve/main/data/test.csv"
        get = f"import urllib.request as u; print(u.urlopen('{url}').read())"
        tries = [
            call("hub_repos", operation="read", repo="lab/reviews", type="dataset", path="data/test.csv"),
            call("datasets", operation="inspect", dataset="Lab/Reviews"),
            call("web_read", url=url.replace("lab/reviews", "lab%2Freviews")),
            call("jobs", operation="run", backend="hub", command="python -c 1"),
            call("bash", command=f'python3 -c "{get}"; cat "$HF_HOME"/hub/*/*/*/test.csv; cat {cache}/test.csv; true'),
        ]
        model = script(*({"tool_calls": [one]} for one in tries), train(80), evaluate(), answer(0.8), answer(0.8))
        done = run("--output-format", "stream-json", "--holdout", "lab/reviews:test", "-m", model, TASK)
        missing = run("--holdout", "lab/reviews:dev", "-m", model, "go")
        absent = run("--holdout", "lab/other:test", "-m", model, "go")
    outputs = [one["data"] for one in done.events if one["type"] == "tool_output"]
    assert [one["status"] for one in outputs[:4]] == ["refused"] * 4
    assert all(SECRET not in str(one) for one in done.events)
    assert "Connection refused" in outputs[4]["text"] or "Network is unreachable" in outputs[4]["text"]
    assert done.events[-1]["data"]["evidence"]["holdout"]["metrics"] == {"accuracy": "0.29850746268656714"}
    assert (missing.code, "has no file of the split dev" in missing.err) == (2, True)
    assert (absent.code, "no dataset lab/other" in absent.err) == (2, True)
    again = run("--output-format", "json", "-c", "and now?")
    assert again.json["evidence"]["holdout"]["why"] == "scored before, for an earlier answer"
    gone = run("--holdout", "lab/third:test", "-m", model, "go")
    assert (gone.code, "--holdout lab/third:test" in gone.err) == (75, True)


def test_an_evaluator_that_cannot_get_it_is_named(run: Run, script: Script, place: Path, holdout: str) -> None:
    (place / "eval.py").write_text(EVALUATE.replace("sys.argv[1]", '"test.csv"'))
    step = {"tool_calls": [call("bash", command="python3 eval.py")]}
    done = run("--output-format", "json", "--holdout", holdout, "-m", script(train(80), step, answer(0.8)), TASK)
    assert done.json["evidence"]["holdout"]["why"] == "eval.py does not get the test data as an argument"
