"""`call_hub`: each failure becomes one line with a remedy, soon; nothing is printed; the event loop is not blocked."""

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from tests.fakes.hub import FakeHub

Work = Callable[[HfApi], Any]


async def error_of(work: Work, about: str = "model org/x") -> str:
    with pytest.raises(ToolError) as raised:
        await call_hub(work, about)
    assert "\n" not in str(raised.value)
    assert "Traceback" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("token", "work", "expected"),
    [
        (None, lambda api: api.whoami(), "no token for the Hub.*HF_TOKEN"),
        ("hf_wrong", lambda api: api.whoami(), r"\(401\).*missing, wrong or expired"),
        ("hf_wrong", lambda api: api.model_info("org/x"), r"\(401\).*set a valid HF_TOKEN"),
        (None, lambda api: api.create_repo("org/x"), r"\(401\).*HF_TOKEN"),
        ("", lambda api: api.create_repo("org/x"), r"\(403\).*write permission"),
        ("", lambda api: api.model_info("org/x"), "there is no model org/x, or it is private and the token has no"),
        (None, lambda api: api.model_info("org/private"), "no token is set"),
        ("", lambda api: list(api.list_repo_tree("org/open", "nowhere")), "no such file or folder.*operation list"),
        ("", lambda api: list(api.list_repo_tree("org/open", revision="v9")), "no such revision.*operation refs"),
        ("", lambda api: api.create_repo("ada/mine"), r"\(409\).*already exists"),
        ("", lambda api: api.model_info("no/such/name"), "Repo id must be"),
    ],
)
async def test_a_rejected_request_becomes_one_line_with_a_remedy(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str | None, work: Work, expected: str
) -> None:
    hub.add("models", "org/private", {"a": "1"}, private=True)
    hub.add("models", "org/open", {"a": "1"})
    hub.add("models", "ada/mine", {"a": "1"})
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    elif token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert re.search(expected, await error_of(work))


async def test_the_error_for_a_gated_repository_names_the_page_with_its_terms(hub: FakeHub, tmp_path: Any) -> None:
    hub.add("datasets", "org/gated", {"a": "1"}, gated="auto")

    def read(api: HfApi) -> str:
        return api.hf_hub_download("org/gated", "a", repo_type="dataset", local_dir=tmp_path)

    assert f"accept its terms on {hub.url}/datasets/org/gated" in await error_of(read, "dataset org/gated")


async def test_a_long_pause_is_reported_instead_of_slept(hub: FakeHub) -> None:
    hub.fail("/api/models", 429, ratelimit='"api";r=0;t=240')
    assert "(429); try again in 240 s" in await error_of(lambda api: list(api.list_models(limit=1)))
    hub.clear_failures()
    hub.fail("/api/models", 429, Retry_After="77")
    assert "try again in 77 s" in await error_of(lambda api: list(api.list_models(limit=1)))
    assert len(hub.asked) == 2


async def test_a_short_pause_and_a_single_failure_are_retried(hub: FakeHub) -> None:
    hub.add("models", "org/x", {"a": "1"})
    hub.fail("/api/models", 429, times=1, ratelimit='"api";r=0;t=0')
    hub.fail("/api/models", 503, times=1)
    assert [model.id for model in await call_hub(lambda api: list(api.list_models()))] == ["org/x"]


async def test_requests_to_a_failing_hub_stop_after_three_attempts(hub: FakeHub) -> None:
    hub.fail("/api/models", 503)
    assert "(503)" in await error_of(lambda api: list(api.list_models()))
    assert len(hub.asked) == 3


async def test_an_unreachable_hub_and_a_silent_hub_are_reported(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.delay("/api/models/org", 5)
    with pytest.raises(ToolError, match="did not answer within"):
        await call_hub(lambda api: api.model_info("org/x"), seconds=0.2)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "no connection to the Hub at http://127.0.0.1:9" in await error_of(lambda api: api.model_info("org/x"))


async def test_a_bug_in_the_caller_is_not_reported_as_a_hub_error(hub: FakeHub) -> None:
    def broken(api: HfApi) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await call_hub(broken)


async def test_nothing_is_printed_and_the_client_identifies_itself(
    hub: FakeHub, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add("models", "org/x", {"a": "1"})
    hub.fail("/api/models", 503, times=1)
    thread, _ = await call_hub(lambda api: (threading.current_thread(), list(api.list_models())))
    assert thread is not threading.main_thread()
    assert thread.daemon
    assert capfd.readouterr() == ("", "")
    assert "ml-intern/" in hub.asked[-1].headers["user-agent"]
    assert os.environ["AI_AGENT"] == "ml-intern"


async def test_a_redirect_does_not_send_the_token_to_another_host(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("models", "ada/m", {"a.txt": "1", "w.bin": b"\1"}, private=True)
    asks: list[tuple[str, Work]] = [
        ("/api/models/ada/m", lambda api: api.model_info("ada/m")),
        ("/api/models", lambda api: list(api.list_models())),
        ("/tree/", lambda api: list(api.list_repo_tree("ada/m"))),
        ("/paths-info/", lambda api: api.get_paths_info("ada/m", ["a.txt"])),
        ("/resolve/", lambda api: api.hf_hub_download("ada/m", "a.txt", local_dir=tmp_path)),
        ("/api/repos/create", lambda api: api.create_repo("ada/n")),
        ("/api/whoami", lambda api: api.whoami()),
        ("/commit/", lambda api: api.upload_file(path_or_fileobj=b"2", path_in_repo="b.txt", repo_id="ada/m")),
        ("/info/lfs/", lambda api: api.upload_file(path_or_fileobj=b"2", path_in_repo="b.bin", repo_id="ada/m")),
    ]
    for part, work in asks:
        hub.clear_failures()
        hub.redirect(part, f"{hub.cdn_url}/elsewhere")
        before = len(hub.asked)
        with contextlib.suppress(ToolError):
            await call_hub(work, "model ada/m")
        assert any(asked.token for asked in hub.asked[before:] if asked.host.startswith("127.")), part
    assert [asked for asked in hub.asked if asked.host.startswith("localhost")]
    assert hub.tokens_at("localhost") == []
