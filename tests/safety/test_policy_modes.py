from dataclasses import replace

import pytest

from ml_intern.graph.limits import ApprovalMode
from ml_intern.safety.policy import PolicyContext, verdict
from ml_intern.safety.rules import Rule, Rules


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


IN_WORKSPACE = PolicyContext(mode="accept-edits", workspace="/w", home="/h", paths=("/w/src/train.py",))


@pytest.mark.parametrize("tool", ["write", "edit"])
def test_accepting_edits_allows_changes_of_ordinary_files(tool: str) -> None:
    assert verdict(tool, {"path": "src/train.py"}, IN_WORKSPACE).kind == "allow"


@pytest.mark.parametrize("path", ["/w/.env", "/w/.github/workflows/ci.yml", "/elsewhere/a.py", "/w/.hidden/../.bashrc"])
def test_accepting_edits_asks_about_all_other_files(path: str) -> None:
    facts = replace(IN_WORKSPACE, paths=(path,), changed_paths=(path,))
    assert verdict("write", {"path": path}, facts).kind == "ask"


def test_accepting_edits_asks_about_all_other_calls_and_obeys_rules() -> None:
    assert verdict("bash", {"command": "python train.py"}, IN_WORKSPACE).kind == "ask"
    assert verdict("some_mcp_tool", {}, IN_WORKSPACE).kind == "ask"
    assert verdict("write", {"path": "src/train.py"}, replace(IN_WORKSPACE, mode="ask")).kind == "ask"
    for effect in ("ask", "deny"):
        rules = Rules((Rule(effect, tool="write"),))
        assert verdict("write", {"path": "src/train.py"}, replace(IN_WORKSPACE, rules=rules)).kind == effect


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


def test_of_several_control_files_the_strictest_decides() -> None:
    facts = PolicyContext(workspace="/ws", mode="yolo", changed_paths=("/ws/.envrc",))
    assert verdict("bash", {"command": "echo x > .envrc"}, facts).kind == "allow"
    assert verdict("bash", {"command": "echo x > .git/hooks/pre-push"}, facts).kind == "deny"
    by_path = PolicyContext(workspace="/ws", mode="yolo", changed_paths=("/ws/.git/hooks/pre-push",))
    assert verdict("bash", {"command": "echo x > .envrc"}, by_path).kind == "deny"


@pytest.mark.parametrize(("irreversible", "does"), [(True, "delete or move"), (False, "write to")])
def test_the_reason_of_a_question_says_whether_something_is_deleted(*, irreversible: bool, does: str) -> None:
    context = PolicyContext(mode="ask", destinations=("org/model",), irreversible=irreversible)
    decided = verdict("hub_repos", {}, context)
    assert (decided.kind, f"would {does} org/model" in decided.why) == ("ask", True)
