"""A budget that cannot be enforced is reported before the run, and refused if it is strict."""

from collections.abc import Callable, Iterator

import pytest

from tests.commands.conftest import Done
from tests.fakes.model_server import FakeModelServer

Run = Callable[..., Done]


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        yield running


def at(server: FakeModelServer, *options: str) -> tuple[str, ...]:
    return ("-m", "fake", "--base-url", server.url, "--no-sandbox", *options)


def test_a_budget_that_cannot_be_enforced_is_reported_before_the_run(run: Run, server: FakeModelServer) -> None:
    done = run(*at(server, "--max-budget-usd", "0.00001"), "go")
    assert done.code == 0
    note = done.err.splitlines()[1]
    assert note.startswith("note: no price is known for fake: the budget of $0.00001 allows 1 request to it (50 per d")
    assert f"""--set 'prices={{"{server.url}": X}}' (0 if free)""" in note
    assert note.endswith("--strict-budget")
    ready = run(*at(server, "--output-format", "stream-json"), "go").events[0]["data"]
    assert ready["unpriced_models"] == ["fake"]
    assert any("the budget of $20.00 allows 1,000 requests" in one for one in ready["notes"])


@pytest.mark.parametrize("how", [("--strict-budget",), ("--set", "strict_budget=true")])
def test_a_strict_budget_refuses_before_anything_is_sent(
    run: Run, server: FakeModelServer, how: tuple[str, ...]
) -> None:
    done = run(*at(server, *how), "go")
    assert done.code == 78
    assert "no price is known for fake, and the budget is strict" in done.err
    assert server.asked == []
    assert run(*at(server, *how, "--max-budget-usd", "-1"), "go").code == 0


@pytest.mark.parametrize("price", ["0", '{"input": 1, "output": 2}'])
def test_a_price_for_the_base_url_makes_the_budget_hold(run: Run, server: FakeModelServer, price: str) -> None:
    named = ("--set", f'prices={{"{server.url}": {price}}}', "--strict-budget")
    done = run(*at(server, *named, "--output-format", "stream-json"), "go")
    assert done.code == 0
    assert done.events[0]["data"]["unpriced_models"] == []
    assert done.events[-1]["data"]["cost_usd"] == pytest.approx(0.0 if price == "0" else 30e-6)


def test_a_small_budget_and_what_is_left_of_it_are_shown_as_they_are(run: Run, server: FakeModelServer) -> None:
    named = ("--set", f'prices={{"{server.url}": 1}}', "--max-budget-usd", "0.00001")
    done = run(*at(server, *named), "go")
    assert done.code == 124
    assert "only $0.00001 of the budget of $0.00001 is left" in done.err
    assert server.asked == []


def test_a_local_server_by_its_prefix_has_no_note_and_no_cost(
    run: Run, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", server.url)
    done = run("-m", "vllm/fake", "--no-sandbox", "--strict-budget", "--output-format", "stream-json", "go")
    assert done.code == 0
    assert done.events[0]["data"]["notes"] == []
    assert done.events[-1]["data"]["cost_usd"] == 0.0
