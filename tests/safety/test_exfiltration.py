"""With outside text in the conversation, an unattended run sends nothing to places the user did not name; twins run."""

import pytest

from ml_intern.safety.policy import PolicyContext, verdict
from ml_intern.sandbox.send_limits import SendLimits
from tests.safety.exfiltration_cases import ADDRESSES, COMMANDS, REQUESTS, SECRETS

LIMITS = SendLimits("while text from a page is in the conversation", frozenset(), frozenset())


def judged(tool: str, args: dict[str, object], mode: str = "auto", **facts: object) -> str:
    given = PolicyContext(
        mode=mode,  # type: ignore[arg-type]
        workspace="/ws",
        home="/home/u",
        paths=("/ws",),
        taint=("a page",),
        sandboxed=True,
        **facts,  # type: ignore[arg-type]
    )
    return verdict(tool, args, given).kind


@pytest.mark.parametrize(("attack", "twin"), COMMANDS)
def test_a_command_that_sends_is_refused_and_its_twin_runs(attack: str, twin: str) -> None:
    assert judged("bash", {"command": attack}) == "deny"
    assert judged("bash", {"command": attack}, "ask") in {"ask", "deny"}
    assert judged("bash", {"command": twin}) == "allow"


@pytest.mark.parametrize(("attack", "twin"), SECRETS)
def test_secrets_tunnels_and_redirected_clients_are_refused_in_every_mode(attack: str, twin: str) -> None:
    assert {judged("bash", {"command": attack}, mode) for mode in ("ask", "auto", "yolo", "plan")} == {"deny"}
    assert judged("bash", {"command": twin}) == "allow"


@pytest.mark.parametrize(("attack", "twin"), ADDRESSES)
def test_an_address_with_much_data_is_refused_unless_the_user_wrote_it(attack: str, twin: str) -> None:
    assert judged("web_read", {"url": attack}, read_only=True) == "deny"
    assert judged("web_read", {"url": attack}, read_only=True, user_text=f"read {attack}") == "allow"
    assert judged("web_read", {"url": twin}, read_only=True) == "allow"


@pytest.mark.parametrize(("attack", "twin"), REQUESTS)
def test_the_proxy_lets_only_reading_requests_pass(attack: tuple[str, str], twin: tuple[str, str]) -> None:
    assert LIMITS.refusal(attack[0].encode(), attack[1]) != ""
    assert LIMITS.refusal(twin[0].encode(), twin[1]) == ""


def test_a_server_of_the_settings_gets_no_text_from_elsewhere() -> None:
    for source, kind in (("a page", "deny"), ("mcp:notes", "allow")):
        given = PolicyContext(mode="auto", workspace="/ws", taint=(source,), destinations=("mcp:notes",))
        assert verdict("mcp__notes__add", {"text": "x"}, given).kind == kind
