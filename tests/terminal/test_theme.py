"""Which theme a terminal gets, and that each theme has every style."""

import pytest

from ml_intern.terminal.theme import STYLES, THEME_NAMES, Theme, choose_theme, light_background

MANY = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "setting", "background", "name"),
    [
        (MANY, "auto", "", "ansi"),
        (MANY, "auto", "\x1b]11;rgb:1e1e/1e1e/1e1e\x07", "dark"),
        (MANY, "auto", "\x1b]11;rgb:fdfd/f6f6/e3e3\x1b\\", "light"),
        ({**MANY, "COLORFGBG": "15;0"}, "auto", "", "dark"),
        ({**MANY, "COLORFGBG": "0;default;15"}, "auto", "", "light"),
        ({"TERM": "xterm", "COLORFGBG": "15;0"}, "auto", "", "ansi"),
        ({"TERM": "xterm", "COLORTERM": "truecolor", "COLORFGBG": "15;0"}, "auto", "", "dark"),
        ({**MANY, "NO_COLOR": "1"}, "auto", "rgb:0/0/0", "none"),
        ({**MANY, "NO_COLOR": ""}, "auto", "rgb:0/0/0", "dark"),
        ({**MANY, "NO_COLOR": "1"}, "light", "", "light"),
        ({"TERM": "dumb"}, "dark", "", "none"),
        (MANY, "none", "rgb:0/0/0", "none"),
    ],
)
def test_the_theme_of_a_terminal(environ: dict[str, str], setting: str, background: str, name: str) -> None:
    assert choose_theme(environ, setting, background).name == name


@pytest.mark.parametrize("answer", ["", "?", "rgb:zz/0/0", "\x1b[?1;2c"])
def test_an_answer_that_is_no_colour_decides_nothing(answer: str) -> None:
    assert light_background(answer) is None


@pytest.mark.parametrize("name", THEME_NAMES)
def test_every_style_is_reset_at_its_end(name: str) -> None:
    theme = Theme(name)  # type: ignore[arg-type]
    for style in STYLES:
        painted = theme.paint(style, "x")
        assert painted == "x" or (painted.endswith("x\x1b[0m") and name != "none")
        assert theme.paint(style, "") == ""


def test_a_terminal_without_unicode_gets_plain_symbols() -> None:
    assert Theme("none", unicode=False).glyph("success") == "+"
    assert Theme("none").glyph("success") == "✓"
