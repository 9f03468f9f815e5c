import pytest

from ml_intern.text.visible import has_hidden, inert, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ls \u202e;fr- mr", "ls \\u202e;fr- mr"),
        ("echo \x1b]0;x\x07", "echo \\x1b]0;x\\x07"),
        ("ls\u00a0-la", "ls\\xa0-la"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("nul\x00byte", "nul\\x00byte"),
        ("over\rwritten", "over\\x0dwritten"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("lone \ud800", "lone \\ud800"),
        ("joined\u2028lines", "joined\\u2028lines"),
    ],
)
def test_hidden_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert has_hidden(text)


@pytest.mark.parametrize("text", ["line\n\tindented", "Übergröße, токен, 訓練", "⚠️ careful", "ok ✔️ done"])
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert visible(text) == text
    assert not has_hidden(text)


def test_escaping_twice_changes_nothing() -> None:
    shown = visible("".join(map(chr, range(0x3000))))
    assert visible(shown) == shown


OSC, C1, BIDI = "\x1b]52;c;aGk=\x07", "\x9b2J\x85", "\u202e\u2066"


def test_piped_text_keeps_everything_but_what_terminals_act_on() -> None:
    for sequence in (OSC, "\x1b]0;title\x07", "\x1b[2J", C1, BIDI, "a\rb", "\x7f"):
        escaped = inert(f"a{sequence}b")
        assert sequence not in escaped
        assert "\\" in escaped
    kept = "caf\u00e9 \u00a0 \U0001f469\u200d\U0001f4bb tab\t line\r\n"
    assert inert(kept) == kept
