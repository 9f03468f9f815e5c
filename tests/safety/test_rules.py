import pytest

from ml_intern.configs.errors import ConfigurationError
from ml_intern.safety.policy import PolicyContext, Verdict, verdict
from ml_intern.safety.rule_settings import parse_rules
from ml_intern.safety.rules import Rules


def rules(**permissions: list[object]) -> Rules:
    return parse_rules(permissions, "settings")


def judge(tool: str, args: dict[str, object], given: Rules, **facts: object) -> Verdict:
    return verdict(tool, args, PolicyContext(workspace="/ws", home="/home/u", rules=given, **facts))  # type: ignore[arg-type]


def shell(command: str, given: Rules, **facts: object) -> str:
    return judge("bash", {"command": command}, given, **facts).kind


def test_only_commands_with_an_allowed_prefix_run_unasked() -> None:
    given = rules(allow=["bash(python train.py)"])
    assert shell("python train.py --lr 1", given) == "allow"
    assert shell("cat a | python train.py | tail -5", given) == "allow"
    for command in ("python other.py", "python train.py; rm x", "python train.py > out", "X=1 python train.py",
                    "python train.py $(id)", "python train.py & ls", "./python train.py",
                    "sudo python train.py"):  # fmt: skip
        assert shell(command, given) == "ask"


def test_each_sub_command_can_have_its_own_allow_rule() -> None:
    given = rules(allow=["bash(make train)", "bash(git commit)"])
    assert shell("make train && git commit -m x", given) == "allow"
    assert shell("make train && git push", given) == "ask"


def test_an_allow_rule_with_a_prefix_and_a_path_applies_to_that_path_only() -> None:
    given = rules(allow=[{"command": "touch", "path": "out/**"}, "bash(make)"])
    assert shell("touch out/a", given) == "allow"
    for command in ("touch src/a", "touch out/../a", "touch out/a src/a", "make && touch src/a"):
        assert shell(command, given) == "ask", command


def test_an_allow_rule_with_a_prefix_and_an_argument_applies_to_that_argument_only() -> None:
    given = rules(allow=[{"command": "make", "args": {"command": "train$"}}, "bash(git commit)"])
    assert shell("make train", given) == "allow"
    for command in ("make clean", "make train; make clean", "git commit -m x; make clean"):
        assert shell(command, given) == "ask", command


def test_deny_overrides_ask_and_ask_overrides_allow() -> None:
    given = rules(allow=["bash(git)"], ask=["bash(git push)"], deny=["bash(git push origin main)"])
    assert shell("git fetch", given) == "allow"
    assert shell("git push origin dev", given) == "ask"
    assert shell("git push origin main", given) == "deny"


def test_a_denied_prefix_is_found_in_wrapped_and_nested_commands() -> None:
    given = rules(deny=["bash(npm publish)"])
    for command in (
        "npm publish",
        "cd x && npm publish",
        "bash -c 'npm publish'",
        "timeout 5 npm publish",
        "$(npm publish)",
    ):
        assert shell(command, given, mode="yolo") == "deny"


@pytest.mark.parametrize("mode", ["ask", "auto", "yolo", "plan"])
def test_a_deny_rule_applies_in_every_mode(mode: str) -> None:
    assert judge("hub_upload", {}, rules(deny=["hub_*"]), mode=mode).kind == "deny"


def test_an_allow_rule_does_not_override_the_denials_of_every_mode() -> None:
    assert shell("rm -rf ~", rules(allow=["bash(rm -rf)", "bash"])) == "deny"


def test_an_allow_rule_does_not_override_plan_mode() -> None:
    assert judge("write", {}, rules(allow=["write"]), mode="plan").kind == "deny"


def test_paths_are_matched_after_resolution() -> None:
    given = rules(allow=["write(src/**)"], deny=[{"path": "secrets/**"}])
    assert judge("write", {}, given, paths=("/ws/src/a/b.py",)).kind == "allow"
    assert judge("write", {}, given, paths=("/ws/other.py",)).kind == "ask"
    assert judge("read", {}, given, paths=("/ws/secrets/x",), read_only=True).kind == "deny"
    assert shell("cat secrets/x", given) == "deny"
    assert shell("cat src/../secrets/x", given) == "deny"


def test_rules_can_match_arguments_destinations_and_prices() -> None:
    given = rules(
        ask=[{"tool": "job", "price_over_usd": 5}],
        allow=[{"tool": "job", "args": {"flavor": "^(cpu|t4)"}}],
        deny=[{"destination": "someone/*"}],
    )
    assert judge("job", {"flavor": "t4-small"}, given, cost_usd=1.0).kind == "allow"
    assert judge("job", {"flavor": "t4-small"}, given, cost_usd=9.0).kind == "ask"
    assert judge("job", {"flavor": "t4-small"}, given, cost_usd=None).kind == "ask"
    assert judge("job", {"flavor": "h100"}, given, cost_usd=1.0).kind == "ask"
    assert judge("upload", {}, given, destinations=("someone/else",), mode="yolo").kind == "deny"
    assert shell("hf upload someone/else .", given, mode="yolo") == "deny"


def test_the_examples_of_rules_are_checked_when_loaded() -> None:
    rules(deny=[{"command": "git push", "matches": ["git push origin"], "not_matches": ["git pull"]}])
    with pytest.raises(ConfigurationError, match=r"deny\[0\] does not match its example 'git pull'"):
        rules(deny=[{"command": "git push", "matches": ["git pull"]}])
    with pytest.raises(ConfigurationError, match=r"matches 'git push -n', which its not_matches lists"):
        rules(deny=[{"command": "git push", "not_matches": ["git push -n"]}])


@pytest.mark.parametrize(
    "written",
    [
        3,
        None,
        "",
        "bash(",
        {"tol": "bash"},
        {"args": {"x": "("}},
        {"price_over_usd": -1},
        {"command": "git 'push"},
        "bash(* x)",
    ],
)
def test_an_invalid_rule_is_an_error_with_its_location(written: object) -> None:
    with pytest.raises(ConfigurationError, match=r"settings: permissions\.allow\[0\]"):
        rules(allow=[written])


def test_an_unknown_effect_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="allow, ask or deny"):
        rules(maybe=["bash"])


def test_a_rule_without_effect_gives_a_warning() -> None:
    assert rules(allow=["bash(make)"], deny=["bash(make)"]).warnings == (
        "allow bash make has no effect: a deny rule matches the same calls",
    )
