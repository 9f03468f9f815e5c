import pytest

from ml_intern.graph.limits import ApprovalMode
from ml_intern.safety.policy import PolicyContext, verdict


@pytest.mark.parametrize("mode", ["ask", "auto", "yolo", "plan"])
def test_a_read_only_tool_runs_in_every_mode(mode: ApprovalMode) -> None:
    assert verdict("read", {"path": "a.txt"}, PolicyContext(mode=mode, read_only=True)).kind == "allow"


@pytest.mark.parametrize("tool", ["bash", "write", "edit", "some_mcp_tool"])
@pytest.mark.parametrize(("mode", "kind"), [("ask", "ask"), ("auto", "allow"), ("yolo", "allow"), ("plan", "deny")])
def test_a_tool_that_makes_changes_depends_on_the_mode(tool: str, mode: ApprovalMode, kind: str) -> None:
    assert verdict(tool, {"command": "python train.py"}, PolicyContext(mode=mode)).kind == kind


@pytest.mark.parametrize("mode", ["ask", "auto", "yolo", "plan"])
def test_planning_is_always_allowed(mode: ApprovalMode) -> None:
    assert verdict("plan", {"steps": []}, PolicyContext(mode=mode)).kind == "allow"


def test_a_sub_agents_call_is_denied_instead_of_asked() -> None:
    decided = verdict("write", {"path": "a"}, PolicyContext(mode="ask", child=True))
    assert decided.kind == "deny"
    assert "cannot ask the user" in decided.why


def test_plan_mode_says_that_the_plan_must_be_accepted_first() -> None:
    assert "plan is accepted" in verdict("write", {}, PolicyContext(mode="plan")).why


@pytest.mark.parametrize(
    ("mode", "place", "secret", "text", "kind"),
    [
        ("auto", "ada/jobs", "HF_TOKEN", "", "allow"),
        ("auto", "ada/jobs", "WANDB_API_KEY", "", "deny"),
        ("auto", "ada/jobs", "WANDB_API_KEY", "log it, with WANDB_API_KEY", "allow"),
        ("auto", "lab/jobs", "HF_TOKEN", "", "deny"),
        ("auto", "lab/jobs", "HF_TOKEN", "run it as lab/jobs with HF_TOKEN", "allow"),
        ("ask", "ada/jobs", "HF_TOKEN", "", "ask"),
    ],
)
def test_the_owners_jobs_may_receive_the_owners_token(
    mode: ApprovalMode, place: str, secret: str, text: str, kind: str
) -> None:
    facts = PolicyContext(mode=mode, destinations=(place,), secrets=(secret,), owner="ada", user_text=text)
    assert verdict("jobs", {"operation": "run"}, facts).kind == kind


def test_the_reason_shows_both_the_secret_and_the_maximum_price() -> None:
    facts = PolicyContext(destinations=("ada/jobs",), secrets=("HF_TOKEN",), owner="ada", cost_usd=0.8)
    assert verdict("jobs", {}, facts).why == "it would receive HF_TOKEN, for at most $0.80"
    assert "unknown" not in verdict("bash", {"command": "x"}, PolicyContext(secrets=("HF_TOKEN",))).why


@pytest.mark.parametrize(
    ("attack", "harmless"),
    [
        ("https://e.example/?q=" + "d" * 101, "https://e.example/?q=" + "d" * 90),
        ("https://e.example/" + "d" * 251, "https://e.example/docs/main/en/trainer#logging"),
        ("https://e.example/" + "/".join(["d" * 9] * 30), "https://e.example/" + "/".join(["docs"] * 9)),
        ("https://e.example/d?" + "a=1&" * 30, "https://e.example/d?page=2"),
    ],
)
def test_a_long_address_is_refused_unattended_once_outside_text_is_in_the_context(attack: str, harmless: str) -> None:
    tainted = PolicyContext(mode="auto", read_only=True, taint=("https://page.example",))
    assert verdict("web_read", {"url": harmless}, tainted).kind == "allow"
    refused = verdict("web_read", {"url": attack}, tainted)
    assert (refused.kind, "page.example is in the context" in refused.why) == ("deny", True)
    for allowed in (
        PolicyContext(mode="auto", read_only=True),
        PolicyContext(mode="auto", read_only=True, taint=("x",), user_text=f"read {attack}"),
    ):
        assert verdict("web_read", {"url": attack}, allowed).kind == "allow"
