"""The chart of metrics: what is written where, and what covers nothing."""

import pytest

pytest.importorskip("PIL", reason="needs the extra [plot]: uv sync --extra plot")

from PIL import Image, ImageDraw

from ml_intern.terminal.render import chart

CURVES = {"fast": [(0.0, 2.0), (100.0, 0.25)], "slow": [(0.0, 2.0), (100.0, 1.0)]}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are drawn."""
    texts: list[str] = []
    original = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **options: object) -> None:
        texts.append(text)
        original(self, xy, text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


def rows_of(image: Image.Image, colour: str) -> set[int]:
    """The rows of pixels that have the colour."""
    wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    return {y for y in range(image.height) for x in range(image.width) if image.getpixel((x, y)) == wanted}


def test_a_chart_has_title_axis_labels_units_and_a_legend(written: list[str]) -> None:
    chart.draw({"loss": CURVES, "tokens_per_second": {"slow": [(0.0, 900.0), (100.0, 1000.0)]}}, "2 runs by step")
    assert written[0] == "2 runs by step"
    assert {"step", "loss", "tokens_per_second (tokens/s)", "fast", "slow"} <= set(written)
    assert written.count("fast") == 1


def test_axis_values_are_round(written: list[str]) -> None:
    chart.draw({"loss": CURVES}, "x")
    assert {"0.5", "1", "1.5", "2"} <= set(written)
    assert {"0", "50", "100"} <= set(written)


def test_a_run_has_one_colour_in_every_panel_and_the_legend_is_above_them() -> None:
    image = chart.draw({"loss": CURVES, "acc": {"slow": [(0.0, 0.1), (9.0, 0.9)]}}, "x")
    first = image.height - 2 * chart.PANEL
    second = {y for y in rows_of(image, chart.COLOURS[1]) if y >= first + chart.PANEL}
    assert second
    assert not {y for y in rows_of(image, chart.COLOURS[0]) if y >= first + chart.PANEL}
    assert [sum(y < first for y in rows_of(image, colour)) for colour in chart.COLOURS[:2]] == [3, 3]


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("loss", ""), ("eval/runtime", "s"), ("train_samples_per_second", "samples/s"), ("memory_gb", "GB"),
        ("gpu_percent", "%"), ("epoch", "epochs"), ("per_second", "1/s"),
    ],
)  # fmt: skip
def test_a_unit_is_taken_from_the_name(metric: str, unit: str) -> None:
    assert chart.unit_of(metric) == unit


@pytest.mark.parametrize(
    "points", [[], [(0.0, float("nan"))], [(3.0, 0.5)], [(0.0, 1.0), (1.0, 1.0)], [(0.0, 1e-30), (1e12, 1e30)]]
)
def test_few_equal_or_extreme_values_can_be_drawn(points: list[tuple[float, float]]) -> None:
    assert chart.draw({"loss": {"one": points}}, "x").width == chart.WIDTH
