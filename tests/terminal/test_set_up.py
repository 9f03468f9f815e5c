"""The first start without a key: what is offered, tried, kept, and how it is left."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.hub.server import TOKEN, FakeHub
from tests.fakes.model_server import FakeModelServer, Reply, error
from tests.terminal.driver import CTRL_C, CTRL_D, Terminal

NOWHERE = "http://127.0.0.1:9"
LOCAL = {f"{name}_BASE_URL": NOWHERE for name in ("OLLAMA", "VLLM", "LM_STUDIO", "LLAMACPP")}
KEY = "sk-typed-by-hand-0123456789"


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer(Reply(text="ready")) as running:
        running.models = [{"id": "qwen3", "max_model_len": 32_768}]
        yield running


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []
    (tmp_path / "work").mkdir()

    def start(*options: str, **environment: str) -> Terminal:
        known = LOCAL | {"HF_HOME": str(tmp_path / "hf")} | environment
        opened.append(Terminal(["--no-sandbox", *options], tmp_path / "work", tmp_path / "home", **known))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def choose(terminal: Terminal, name: str) -> None:
    """Choose the row that begins so."""
    rows = terminal.expect("which one (number; Enter leaves)?").splitlines()
    number = next(row.split()[0] for row in rows if name in row)
    terminal.enter(number)


def leave(terminal: Terminal) -> None:
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D, "\r"])
def test_the_set_up_can_be_left_and_then_says_the_ways(start: Callable[..., Terminal], key: str) -> None:
    terminal = start()
    terminal.expect("which one (number; Enter leaves)?")
    terminal.type(key)
    terminal.expect("ml-intern: no model configured: no API key is set (set ANTHROPIC_API_KEY")
    assert terminal.ended() == 78


def test_a_key_is_tried_kept_for_its_owner_alone_and_used_by_later_starts(
    start: Callable[..., Terminal], server: FakeModelServer, tmp_path: Path
) -> None:
    server.say(error(401, "Incorrect API key"))
    terminal = start(DEEPSEEK_API_BASE=server.url)
    choose(terminal, "DeepSeek")
    terminal.expect("DEEPSEEK_API_KEY (hidden")
    terminal.enter("sk-wrong")
    assert "sk-wrong" not in terminal.expect("rejected the key in DEEPSEEK_API_KEY")
    terminal.expect("DEEPSEEK_API_KEY (hidden")
    terminal.enter(KEY)
    assert KEY not in terminal.expect("it answered 'ready'")
    assert server.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    terminal.expect("save it in ")
    terminal.enter("")
    rows = terminal.expect("which model (number; Enter keeps deepseek/deepseek-v4-flash)?")
    assert "deepseek/deepseek-v4-pro" in rows
    assert "strong, $" in rows
    terminal.enter("")
    terminal.expect("asked only once")
    terminal.enter("n")
    assert "deepseek/deepseek-v4-flash" in terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    kept = tmp_path / "home" / "keys.env"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert f"DEEPSEEK_API_KEY='{KEY}'" in kept.read_text()
    again = start(DEEPSEEK_API_BASE=server.url)
    assert "deepseek/deepseek-v4-flash" in again.prompt()
    again.enter("hello")
    again.expect("ready")
    assert server.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    again.prompt()
    leave(again)


def test_a_key_that_is_not_kept_is_used_once(
    start: Callable[..., Terminal], server: FakeModelServer, tmp_path: Path
) -> None:
    terminal = start("-m", "deepseek/some-model", DEEPSEEK_API_BASE=server.url)
    choose(terminal, "DeepSeek")
    terminal.expect("DEEPSEEK_API_KEY (hidden")
    terminal.enter(KEY)
    terminal.expect("save it in ")
    terminal.enter("n")
    terminal.expect("set DEEPSEEK_API_KEY in the environment or .env for later ones")
    terminal.expect("asked only once")
    terminal.type(CTRL_C)
    assert "deepseek/some-model" in terminal.prompt()
    leave(terminal)
    assert not (tmp_path / "home" / "keys.env").exists()


def test_a_running_server_is_found_and_becomes_the_model_of_later_starts(
    start: Callable[..., Terminal], server: FakeModelServer, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    settings = tmp_path / "home" / "cli_agent_config.json"
    settings.write_text('{"max_iterations": 7}')
    terminal = start(OLLAMA_BASE_URL=server.url)
    choose(terminal, "Local server")
    assert "ollama/qwen3" in terminal.expect("which model (number; Enter goes back)?")
    terminal.enter("1")
    terminal.expect("make it the default model")
    terminal.enter("")
    terminal.expect("asked only once")
    terminal.enter("fit a model")
    terminal.expect("neither yes nor no")
    terminal.expect("asked only once")
    terminal.enter("n")
    assert "ollama/qwen3" in terminal.prompt()
    terminal.shows("> fit a model")
    terminal.type(CTRL_C)
    leave(terminal)
    assert json.loads(settings.read_text()) == {"max_iterations": 7, "model_name": "ollama/qwen3"}
    again = start(OLLAMA_BASE_URL=server.url)
    assert "ollama/qwen3" in again.prompt()
    leave(again)


def test_a_server_at_another_address_is_kept_with_its_address(
    start: Callable[..., Terminal], server: FakeModelServer, tmp_path: Path
) -> None:
    terminal = start(VLLM_BASE_URL="")
    choose(terminal, "Local server")
    assert "no local server found at the default addresses" in terminal.expect("(Enter goes back):")
    terminal.enter("nonsense")
    terminal.expect("the address is not an http(s) URL")
    terminal.expect("(Enter goes back):")
    terminal.enter(server.url)
    assert "vllm/qwen3" in terminal.expect("which model (number; Enter goes back)?")
    terminal.enter("1")
    terminal.expect("make it the default model")
    terminal.enter("y")
    terminal.expect("asked only once")
    terminal.enter("n")
    terminal.prompt()
    leave(terminal)
    assert f"VLLM_BASE_URL='{server.url}'" in (tmp_path / "home" / "keys.env").read_text()
    again = start(VLLM_BASE_URL="")
    again.prompt()
    again.enter("hello")
    again.expect("ready")
    again.prompt()
    leave(again)


def test_a_login_with_the_browser_reaches_the_router(
    start: Callable[..., Terminal], server: FakeModelServer, hub: FakeHub, tmp_path: Path
) -> None:
    terminal = start(HF_ENDPOINT=hub.url, ML_INTERN_ROUTER_URL=server.url)
    choose(terminal, "Hugging Face")
    terminal.expect("Paste an access token")
    terminal.takes_keys()
    terminal.type("\r")
    terminal.expect("WORD-1234")
    terminal.expect("it answered 'ready'")
    assert "moonshotai/" in terminal.prompt()
    leave(terminal)
    assert (tmp_path / "hf" / "token").read_text() == TOKEN
    assert server.asked[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_the_token_of_the_hub_is_asked_for_once_hidden_and_checked(
    start: Callable[..., Terminal], server: FakeModelServer, hub: FakeHub, tmp_path: Path
) -> None:
    options = ("-m", "ollama/qwen3")
    terminal = start(*options, OLLAMA_BASE_URL=server.url, HF_ENDPOINT=hub.url)
    terminal.expect("asked only once")
    terminal.enter("y")
    terminal.expect("Paste an access token")
    terminal.takes_keys()
    terminal.type("2")
    terminal.expect("will not be visible")
    terminal.enter(TOKEN)
    assert TOKEN not in terminal.prompt()
    leave(terminal)
    assert (tmp_path / "hf" / "token").read_text() == TOKEN
    (tmp_path / "hf" / "token").unlink()
    again = start(*options, OLLAMA_BASE_URL=server.url, HF_ENDPOINT=hub.url)
    assert "asked only once" not in again.prompt()
    leave(again)


def test_a_wrong_token_of_the_hub_is_said_and_the_session_begins(
    start: Callable[..., Terminal], server: FakeModelServer, hub: FakeHub, tmp_path: Path
) -> None:
    terminal = start("-m", "ollama/qwen3", OLLAMA_BASE_URL=server.url, HF_ENDPOINT=hub.url)
    terminal.expect("asked only once")
    terminal.enter("y")
    terminal.expect("Paste an access token")
    terminal.takes_keys()
    terminal.type("2")
    terminal.expect("will not be visible")
    terminal.enter("hf_wrong")
    terminal.expect("the login failed")
    terminal.prompt()
    leave(terminal)
    assert not (tmp_path / "hf" / "token").exists()
