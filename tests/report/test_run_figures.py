"""The figures of a run hold the numbers they were given, and those that are computed are checked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from semivox.evaluation.calibration import BINS, Reliability
from semivox.report import held_out_figures, run_figures
from semivox.report.style import spread, svg


def journal(steps: int = 30, stages: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "kind": "step", "step": s, "stage": f"stage {s * stages // steps}",
            "terms": {"segmentation": 2.0 - s / 20, "contrast": None if s == 4 else 0.5},
            "weights": {"segmentation": 1.0, "contrast": s / 100},
            "lr": {"segmenter": 0.1, "critic": 0.05} if stages > 1 else {"segmenter": 0.1},
        }
        for s in range(0, steps, 2)
    ]  # fmt: skip


def lines(figure: Figure, axis: int = 0) -> list[np.ndarray]:
    return [np.array(line.get_xydata()) for line in figure.axes[axis].lines]


def test_a_loss_curve_shows_every_logged_value_and_its_weight_if_that_moves() -> None:
    rows = journal()
    assert run_figures.term_names(rows) == ["segmentation", "contrast"]
    fixed = run_figures.loss_curve(rows, "segmentation")
    assert len(fixed.axes) == 1
    assert fixed.axes[0].get_title("left") == "segmentation, weight 1"
    assert lines(fixed)[0].tolist() == [[s, 2.0 - s / 20] for s in range(0, 30, 2)]
    moving = run_figures.loss_curve(rows, "contrast")
    assert len(moving.axes) == 2
    assert lines(moving, 1)[0][:, 1] == pytest.approx([s / 100 for s in range(0, 30, 2)])
    assert np.isnan(lines(moving)[0][2, 1])  # a value that was not finite is a gap


def test_what_differs_by_rounding_alone_is_a_straight_line() -> None:
    """Without axes such as 1e-13 + 1e-1."""
    journal = [{"step": s, "terms": {"term": 0.1}, "weights": {"term": 1.0}} for s in range(50)]
    volumes = np.array([11.0, 9.6, 14.0, 12.3])
    for figure in (
        run_figures.loss_curve(journal, "term"),
        held_out_figures.bland_altman(
            (volumes * (1 + 1e-16)).tolist(), (volumes + 1e-15).tolist(), "a", "ml"
        ),
    ):
        FigureCanvasAgg(figure).draw()
        axis = figure.axes[0]
        assert axis.yaxis.get_offset_text().get_text() == ""
        low, high = axis.get_ylim()
        assert high - low > 1e-8


def test_stages_are_marked_and_players_told_apart() -> None:
    figure = run_figures.learning_rate_curve(journal(stages=3))
    axis = figure.axes[0]
    assert axis.get_xlabel() == "step\n1 stage 0, 2 stage 1, 3 stage 2"
    marks = {t.get_text(): t for t in axis.texts}
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["segmenter", "critic"]
    assert set(marks) == {"1", "2", "3"}
    FigureCanvasAgg(figure).draw()
    bottoms = [mark.get_window_extent().y0 for mark in marks.values()]
    assert min(bottoms) >= axis.get_window_extent().y1, "above the curves"


def test_a_short_runs_steps_are_whole() -> None:
    for draw in (run_figures.learning_rate_curve, lambda rows: run_figures.loss_curve(rows, "segmentation")):
        figure = draw(journal(steps=3))
        FigureCanvasAgg(figure).draw()
        ticks = figure.axes[-1].get_xticks()
        assert len(ticks) > 1
        assert all(tick == round(tick) for tick in ticks)
    assert not run_figures.learning_rate_curve(journal()).axes[0].texts


def test_watched_dice_stands_at_the_steps_done() -> None:
    rows = [{"kind": "watch", "step": s - 1, "dice": {"a": 0.5, "foreground": 0.6}} for s in (10, 20)]
    figure = run_figures.watch_curve([*journal(), *rows])
    assert lines(figure)[0].tolist() == [[10, 0.5], [20, 0.5]]
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["a", "mean of classes"]


def test_every_case_is_a_dot_in_the_distribution() -> None:
    dice = {"a": [0.5, 0.9], "b": [0.7, None], "c": [0.8, 0.3], "d": [0.8, None]}
    cases = {name: {"1": {"dice": x}, "2": {"dice": y}} for name, (x, y) in dice.items()}
    evaluation = {"classes": {"1": "one", "2": "a_rather_long_class_name"}, "cases": cases}
    figure = held_out_figures.dice_distribution(evaluation)
    axis = figure.axes[0]
    dots = [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]
    assert [sorted(d) for d in dots] == [
        [0.5, 0.7, 0.8, 0.8],
        [0.3, 0.9],
        pytest.approx([0.55, 0.7, 0.7, 0.8]),
    ]
    means = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "D"]
    assert means == pytest.approx([0.7, 0.6875]), "two cases have neither mean nor box"
    assert len(axis.patches) == 2
    labels = [t.get_text() for t in axis.get_yticklabels()]
    assert labels == ["one", "a_rather_long_\nclass_name", "mean of classes"]
    assert axis.get_xlim()[0] < 0.3
    held_out_figures.dice_distribution({"classes": {"1": "x"}, "cases": {"a": {"1": {"dice": None}}}})


def test_dots_that_lie_close_stand_apart() -> None:
    heights = spread(np.array([0.5, 0.500001, 0.500002, 0.9]))
    assert heights[0] == 0
    assert heights[1] == -heights[2] != 0
    assert heights[3] == 0
    assert np.abs(spread(np.full(100, 0.7))).max() <= 0.3


def test_bland_altman_draws_bias_and_limits_of_agreement() -> None:
    predicted, reference = np.array([10.0, 22, 29, 45]), np.array([12.0, 20, 30, 40])
    figure = held_out_figures.bland_altman(predicted, reference, "heart", "ml")
    difference = np.array([-2.0, 2, -1, 5])
    _, dots, *limits = lines(figure)
    assert dots[:, 0] == pytest.approx([11, 21, 29.5, 42.5])
    assert dots[:, 1] == pytest.approx(difference)
    sd = math.sqrt(((difference - 1) ** 2).sum() / 3)
    assert [line[0, 1] for line in limits] == pytest.approx([1, 1 + 1.96 * sd, 1 - 1.96 * sd])
    assert [t.get_text() for t in figure.axes[0].texts] == ["+1.00", "+7.20", "−5.20"]
    assert len(lines(held_out_figures.bland_altman([1, 2], [1, 1], "two", "ml"))) == 3
    held_out_figures.bland_altman([], [], "none", "ml")


def test_the_reliability_diagram_shows_bins_that_hold_voxels() -> None:
    count = np.zeros(BINS)
    count[12], count[19] = 100, 300
    found = Reliability(count, count * 0.6, np.where(count > 0, [50.0] * BINS, 0))
    figure = held_out_figures.reliability_diagram(found)
    assert lines(figure)[1] == pytest.approx(np.array([[0.6, 0.5], [0.6, 50 / 300]]))
    assert [bar.get_height() for bar in figure.axes[1].patches][12] == 0.25
    held_out_figures.reliability_diagram(Reliability.empty())


def test_flagged_cases_stand_out_by_shape_too() -> None:
    figure = held_out_figures.uncertainty_figure([0.1, 0.2, 0.3], [0.0, 0.5, 0.2], [False, True, False])
    plain, marked = figure.axes[0].lines
    assert plain.get_xydata().tolist() == [[0.1, 0.0], [0.3, 0.2]]
    assert marked.get_xydata().tolist() == [[0.2, 0.5]]
    assert plain.get_marker() != marked.get_marker()


@given(st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan)), max_size=30), st.integers(0, 8))
def test_a_running_mean_is_the_mean_of_the_neighbours(values: list[float], half: int) -> None:
    found = run_figures.running_mean(values, half)
    for i, mean in enumerate(found):
        near = [v for v in values[max(0, i - half) : i + half + 1] if not math.isnan(v)]
        assert math.isnan(mean) if not near else mean == pytest.approx(sum(near) / len(near), abs=1e-9)


def test_names_are_never_read_as_formulas() -> None:
    rows = [
        {"kind": "step", "step": s, "stage": "s", "terms": {"$x_1$ \\frac": 1.0}, "weights": {}, "lr": {}}
        for s in (0, 1)
    ]
    assert "$x_1$ \\frac" in svg(run_figures.loss_curve(rows, "$x_1$ \\frac"), "f", "d")
