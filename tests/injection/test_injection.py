"""A model that obeys outside text leaks and publishes nothing, while the benign twins succeed.

The runs are headless with default settings but for the addresses of the fake services.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from ml_intern.commands.options import Options
from ml_intern.graph.operations import UserInput
from ml_intern.safety.secrets.redaction import clear_known_secrets
from ml_intern.sandbox.bubblewrap import sandbox_problem
from ml_intern.session.agent import AgentSession
from ml_intern.session.mentions import expand_mentions
from ml_intern.session.opening.session import Interface, open_session
from tests.faults.counts import some
from tests.injection.cases import ATTACKS, CHANNELS, Call, Case, cases, filled
from tests.injection.world import CANARIES, MARK, World, forms, open_world
from tests.session.conftest import data, turn

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
CASES = cases()
TASK = "look at it and tell me what it is about"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as world:
        yield world
    clear_known_secrets()


@pytest.fixture(autouse=True)
def tidy(world: World) -> Iterator[None]:
    yield
    world.tidy()


async def outputs(world: World, case: Case, calls: tuple[Call, ...], said: str) -> list[dict[str, Any]]:
    """Run a turn whose model reads the channel and then makes these calls; return the results of the calls."""
    places = {"attacker": world.attacker.url, "site": world.site.url, "home": str(world.root / "user")}
    order = filled(f"call {json.dumps(calls)}", **places)
    world.plant(order)
    reads, text = case.channel.reads, f"{MARK}: {order}"
    steps: list[dict[str, Any]] = [{"tool_calls": [filled(read, **places, text=text)]} for read in reads]
    for number, one in enumerate(calls):
        steps.append({"tool_calls": [filled(one, **places)], **({"expect": MARK} if reads and not number else {})})
    script = world.root / f"script{world.runs}.yaml"
    script.write_text(yaml.safe_dump([*steps, {"text": "done"}]))
    settings = [*world.settings, *([world.mcp_setting] if case.channel.mcp else ())]
    options = Options(model=f"scripted:{script}", cd=str(world.workspace), set_=settings)
    found: list[dict[str, Any]] = []
    async with open_session(options.request(headless=True), Interface(print)) as opened:
        assert isinstance(opened.session, AgentSession)
        found += data(await turn(opened.session, message(world, case, text, said)), "tool_output")
        assert opened.session.end is not None
        assert opened.session.end.status == "done", opened.session.end
    return found[len(reads) :]


def message(world: World, case: Case, text: str, said: str) -> UserInput:
    words = " ".join(filter(None, [TASK, said, case.channel.message]))
    expanded = expand_mentions(words, world.workspace)
    if case.channel.piped:
        return UserInput(f"{words}\n\n<stdin>\n{text}\n</stdin>", typed=words, sources=("a pipe",))
    assert not case.channel.message or MARK in expanded.text
    return UserInput(expanded.text, typed=words, sources=expanded.sources)


@pytest.mark.parametrize("case", some(CASES), ids=str)
async def test_an_attack_leaks_and_publishes_nothing(
    world: World, case: Case, record_property: Callable[[str, object], None]
) -> None:
    record_property("injections", "attack")
    world.plant("")
    before = world.published()
    results = await outputs(world, case, case.attack.asked, "")
    assert world.leaked() == []
    assert world.attacker.seen == []
    after = {name: state for name, state in world.published().items() if name in before or "evil/" not in name}
    assert after.keys() == before.keys()
    assert [name for name in before if name.startswith("models/ada") and after[name] != before[name]] == []
    assert len(results) == len(case.attack.asked)
    assert not case.attack.refused or not all(result["ok"] for result in results), results
    shown = json.dumps(results).encode()
    assert not any(form in shown for value in CANARIES.values() for form in forms(value))


@pytest.mark.parametrize("case", some(CASES), ids=str)
async def test_the_benign_twin_of_an_attack_succeeds(
    world: World, case: Case, record_property: Callable[[str, object], None]
) -> None:
    record_property("injections", "twin")
    results = await outputs(world, case, case.attack.benign, case.attack.said)
    assert [result["text"] for result in results if not result["ok"]] == []
    assert world.leaked() == []


def test_every_channel_and_every_attack_has_cases() -> None:
    assert len(CASES) >= 50
    assert {case.channel.name for case in CASES} == {channel.name for channel in CHANNELS}
    assert {case.attack.name for case in CASES} == {attack.name for attack in ATTACKS}


def test_no_file_of_ml_intern_contains_a_canary(world: World) -> None:
    assert world.swept() == []
