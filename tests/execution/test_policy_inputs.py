"""The policy inputs of a call: real paths, rules, the user's text, the token's owner, the cost."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.errors import ConfigurationError
from ml_intern.execution.call import ToolError
from ml_intern.execution.run import judge, run_call
from ml_intern.execution.tool import ExternalEffects, ToolArgs, ToolContext, tool
from ml_intern.safety.files.disk import matching_files
from ml_intern.safety.policy import Verdict
from ml_intern.store.ledger import CostReservation
from ml_intern.store.permissions import Grant
from tests.execution.conftest import THREAD, Bench


class Somewhere(ToolArgs):
    """A destination."""

    to: str


def options(bench: Bench, **choices: Any) -> ToolContext:
    """Return a context with these run options."""
    user_text = choices.pop("user_text", "")
    context = bench.context()
    return replace(context, options=replace(context.options, **choices), user_text=user_text)


async def judged(bench: Bench, command: str, **choices: Any) -> Verdict:
    context = options(bench, **{"approval_mode": "ask", **choices})
    return await judge(bench.call("bash", {"command": command}), context)


@pytest.mark.parametrize("command", ["ls -la", "wc -l train.py", "cat notes | head -3", "rg -n x . && pwd"])
@pytest.mark.parametrize("mode", ["ask", "plan", "auto"])
async def test_a_read_only_command_needs_no_approval(bench: Bench, command: str, mode: str) -> None:
    assert (await judged(bench, command, approval_mode=mode)).kind == "allow"


async def test_other_commands_need_approval_except_in_auto_mode(bench: Bench) -> None:
    assert (await judged(bench, "python train.py")).kind == "ask"
    assert (await judged(bench, "python train.py", approval_mode="auto")).kind == "allow"
    assert (await judged(bench, "python train.py", approval_mode="plan")).kind == "deny"


async def test_a_symlink_out_of_the_workspace_is_resolved(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (bench.workspace / "inside").mkdir()
    (bench.workspace / "inside" / "link").symlink_to(tmp_path / "outside")
    (bench.workspace / "data").mkdir()
    assert (await judged(bench, "ls data/*")).kind == "allow"
    assert (await judged(bench, "ls inside/link")).kind == "ask"
    assert (await judged(bench, "ls inside/l*")).kind == "ask"
    assert (await judged(bench, "ls inside/link", add_dirs=())).kind == "ask"


async def test_an_added_folder_counts_as_the_workspace(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    call = bench.call("bash", {"command": f"ls {tmp_path}/more"})
    context = replace(bench.context(mode="ask"), add_dirs=(tmp_path / "more",))
    assert (await judge(call, context)).kind == "allow"


@pytest.mark.parametrize("command", ["cat ~/.ssh/id_rsa", "cat {home}/threads.db", "mkfs.ext4 /dev/sda1"])
async def test_a_built_in_deny_applies_in_yolo_and_after_approval(bench: Bench, command: str) -> None:
    command = command.replace("{home}", str(bench.store.home))
    assert (await judged(bench, command, approval_mode="yolo")).kind == "deny"
    call = bench.call("bash", {"command": command})
    result = await run_call(call, replace(bench.context(mode="yolo"), approved=True))
    assert (result.status, "refused in every mode" in result.text) == ("refused", True)


async def test_ml_interns_files_are_denied_but_artifacts_can_be_read(bench: Bench) -> None:
    artifact = bench.context().artifact_folder / "a.txt"
    artifact.parent.mkdir(parents=True)
    artifact.write_text("long output")
    assert "long output" in (await bench.run("read", path=str(artifact))).text
    assert (await bench.run("read", path=str(bench.store.home / "threads.db"))).status == "refused"


@pytest.mark.parametrize(
    ("permissions", "command", "kind"),
    [
        ({"allow": ["bash(pytest)"]}, "pytest -q tests", "allow"),
        ({"allow": ["bash(pytest)"]}, "pytest -q && rm -r tests", "ask"),
        ({"allow": ["bash(git commit)"], "deny": ["bash(git)"]}, "git commit -m x", "deny"),
        ({"ask": ["bash(ls)"]}, "ls", "ask"),
    ],
)
async def test_the_settings_rules_decide(
    bench: Bench, permissions: dict[str, list[str]], command: str, kind: str
) -> None:
    assert (await judged(bench, command, permissions=permissions)).kind == kind


async def test_a_deny_rule_applies_in_yolo_and_to_every_tool(bench: Bench) -> None:
    rules = {"deny": ["write(*.lock)"]}
    call = bench.call("write", {"path": "sub/../uv.lock", "content": ""})
    assert (await judge(call, options(bench, approval_mode="yolo", permissions=rules))).kind == "deny"


async def test_an_invalid_rule_is_a_settings_error(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match=r"permissions\.allow"):
        await judged(bench, "ls", permissions={"allow": ["((("]})


async def test_an_always_answer_applies_to_its_folder_and_thread(bench: Bench) -> None:
    folder, always = str(bench.workspace), bench.store.permissions
    await always.add(folder, THREAD, [Grant("bash", ("pytest",))])
    await always.add("/elsewhere", None, [Grant("bash", ("make",))])
    await always.add(folder, "another thread", [Grant("bash", ("tox",))])
    await always.add(folder, None, [Grant("bash", ("git", "add"))])
    kinds = [(await judged(bench, command)).kind for command in ("pytest -q", "make", "tox", "git add -A && pytest")]
    assert kinds == ["allow", "ask", "ask", "allow"]


async def test_an_always_answer_for_a_tool_excludes_files_that_control_other_programs(bench: Bench) -> None:
    await bench.store.permissions.add(str(bench.workspace), None, [Grant("write")])
    context = bench.context(mode="ask")
    paths = ("train.py", "src/a.py", ".github/workflows/ci.yml", "AGENTS.md", ".env", "../out.py")
    kinds = [
        (await judge(bench.call("write", {"path": path, "content": "x"}), context)).kind
        for path in paths
    ]  # fmt: skip
    assert kinds == ["allow", "allow", "ask", "ask", "ask", "ask"]


async def test_in_auto_mode_a_destination_must_be_named_by_the_user_or_in_their_namespace(bench: Bench) -> None:
    auto = {"approval_mode": "auto"}
    upload = "hf upload someone/model out"
    assert (await judged(bench, upload, **auto)).kind == "deny"
    assert (await judged(bench, upload, **auto, user_text="put it into someone/model please")).kind == "allow"
    bench.services.account.name = "someone"
    assert (await judged(bench, f"{upload} --private", **auto)).kind == "allow"
    assert (await judged(bench, upload, **auto)).kind == "deny"


async def test_the_price_and_destination_a_tool_reports_count(bench: Bench) -> None:
    async def reach(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
        if args["to"] == "nowhere":
            raise ToolError("the price list does not answer")
        return ExternalEffects((args["to"],), cost_usd=3.0)

    @tool(effects=reach)
    async def send(args: Somewhere, context: ToolContext) -> str:
        """Send."""
        return "sent"

    bench.add(send)

    async def kind(to: str, **choices: Any) -> str:
        return (await judge(bench.call("send", {"to": to}), options(bench, approval_mode="auto", **choices))).kind

    named = {"user_text": "to a/b"}
    assert await kind("a/b", **named) == "allow"
    assert await kind("x/y", **named) == "deny"
    assert await kind("nowhere", user_text="nowhere") == "deny"
    assert await kind("a/b", **named, max_budget_usd=2.0) == "deny"
    await bench.store.ledger.settle(
        await bench.store.ledger.reserve(THREAD, THREAD, "main", "m", CostReservation(2.5)), _Used(), 2.5
    )
    assert await kind("a/b", **named, max_budget_usd=5.0) == "deny"
    assert await kind("a/b", **named, max_budget_usd=6.0) == "allow"


class _Used:
    input_tokens = output_tokens = cached_tokens = cache_write_tokens = reasoning_tokens = 0


def test_a_pattern_with_too_many_matches_may_match_anything(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"f{number}").touch()
    assert len(matching_files(f"{tmp_path}/f*")) == 30
    assert "/" not in matching_files(f"{tmp_path}/[^a]*")
    assert matching_files(f"{tmp_path}/*/*/*/*") == ("/",)
