import random
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_intern.safety.shell.analysis import classify
from ml_intern.safety.shell.paths import CommandContext
from tests.safety.shell.shell_variants import WRAPPINGS, risky, risky_in_sandbox, variants

PLACE = CommandContext("/ws", home="/home/u")


@pytest.mark.parametrize("seed", range(10))
def test_none_of_500_wrapped_risky_commands_runs_unasked(seed: int) -> None:
    unsafe = [text for _, text, _ in variants(seed, 500) if classify(text, PLACE).kind == "auto"]
    assert unsafe == []


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_wrapped_denied_command_is_denied(wrapping: str) -> None:
    for command in ("rm -rf ~", "cat ~/.ssh/id_rsa", "git push --force"):
        assert classify(wrapping.format(command, q=shlex.quote(command)), PLACE).kind == "deny"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ls catrm -/.;&|<>(){}$`'\"\\\n*?~#=![]0"), max_size=40), st.randoms())
def test_random_text_with_a_risky_command_never_runs_unasked(text: str, rng: random.Random) -> None:
    classify(text, PLACE)
    classify(text, PLACE, sandboxed=True)
    command, _ = rng.choice(risky())
    if "'" not in text and '"' not in text and "\\" not in text and "#" not in text:
        assert classify(f"{text}\n{command}", PLACE).kind != "auto"


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_no_wrapped_risky_command_runs_unasked_in_the_sandbox(wrapping: str) -> None:
    for command in risky_in_sandbox():
        text = wrapping.format(command, q=shlex.quote(command))
        assert classify(text, PLACE, sandboxed=True).kind != "auto", text
