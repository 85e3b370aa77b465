"""``semivox demo``: the whole way on made-up scans, from a folder to masks, a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from semivox.duration import parse_duration
from semivox.errors import SettingsError
from semivox.leftovers import PREFIX
from semivox.options import Command, Flag, from_options
from semivox.terminal import show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from semivox.training.display import Display

METHODS = ("supervised", "simcvd")
PHANTOMS, RUNS, MASKS, FIGURE = "phantoms", "runs", "masks", "masks.png"


@dataclass(frozen=True)
class DemoResult:
    """``evaluations``: method -> evaluation file; ``difference``: paired difference of Dice to supervised."""

    out: Path
    evaluations: Mapping[str, Mapping[str, Any]]
    steps: Mapping[str, int]
    difference: Mapping[str, Any]
    figure: Path
    undertrained: Mapping[str, str | None]
    """Method -> the warning that its model is not to be used, if it is not."""


@dataclass(frozen=True)
class DemoOptions:
    """How long a demo, of what."""

    out: Annotated[str | Path, Flag("DIR", writes="folder")] = "semivox-demo"
    """New folder for all of it."""
    _: KW_ONLY
    budget: Annotated[float, Flag("T", default="75s", parse=parse_duration)] = 75.0
    """Training time of each method, such as 90s or 5m."""
    methods: Sequence[str] = METHODS
    """The methods to train."""
    labeled: int = 4
    """Scans with a label."""
    unlabeled: int = 20
    """Scans without one."""
    test: int = 8
    """Held-out scans."""
    seed: int = 0
    """Seed of every random draw."""
    settings: Mapping[str, Any] | Sequence[str] = ()
    """Settings of the trainings, as for ``train``."""
    display: Display | None = None
    """Told what is done; without it nothing is printed."""


@from_options(DemoOptions)
def demo(options: DemoOptions) -> DemoResult:
    """Make phantoms, train each method for ``budget`` seconds, predict and evaluate held-out ones.

    Raises
    ------
    SettingsError
        ``out`` is not empty, and no demo that was stopped.
    """
    from semivox.cohort import write_phantom_cohort
    from semivox.commands.check import check
    from semivox.commands.evaluate import evaluate
    from semivox.commands.predict import predict
    from semivox.commands.train import train
    from semivox.evaluation import paired_difference
    from semivox.report.masks import mask_figure
    from semivox.training.display import Silent

    display, out, methods = options.display or Silent(), Path(options.out), options.methods
    _refuse_taken(out)
    train_data, test_data = out / PHANTOMS / "train", out / PHANTOMS / "test"
    if not train_data.exists():
        write_phantom_cohort(
            out / PHANTOMS,
            labeled=options.labeled,
            unlabeled=options.unlabeled,
            test=options.test,
            seed=options.seed,
        )
    display.say(
        f"phantoms: {options.labeled} labelled and {options.unlabeled} unlabelled scans in {train_data}, "
        f"{options.test} held out"
    )
    faults = [f for f in check(train_data).findings if f.severity == "error"]
    display.say(f"check: {len(faults)} errors")

    evaluations, steps, undertrained = {}, {}, {}
    for method in methods:
        display.say(f"\n{method}")
        run = out / RUNS / method
        trained = train(
            train_data,
            run,
            method=method,
            budget=options.budget,
            seed=options.seed,
            settings=options.settings,
            display=display,
            resume=True,
        )
        steps[method], undertrained[method] = trained.steps, trained.undertrained
        predict(run, test_data, out / MASKS / method, skip_existing=True)
        evaluations[method] = evaluate(out / MASKS / method, test_data)
    masks = {method: out / MASKS / method for method in methods}
    figure = mask_figure(test_data, masks, out / FIGURE, title="Held-out phantoms")
    difference = paired_difference(evaluations[methods[-1]], evaluations[methods[0]])
    return DemoResult(out, evaluations, steps, difference, figure, undertrained)


def _refuse_taken(out: Path) -> None:
    """Raise SettingsError for a folder with something in it, unless a demo was stopped there: its figure
    comes last."""
    found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    begun = {name for name in found if name not in (PHANTOMS, RUNS, MASKS) and not name.startswith(PREFIX)}
    if (out.exists() and not out.is_dir()) or begun:
        raise SettingsError(
            "the demo's folder is not empty", path=out, remedy="remove it, or give another --out"
        )


def render(result: DemoResult) -> RenderableType:
    """The demo's table."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from semivox.evaluation import DICE, METRICS

    shown = [METRICS[name] for name in ("dice", "jaccard", "hd95_mm", "asd_mm")]
    table = Table("method", "steps", *(metric.title() for metric in shown), "worst Dice")
    for method, evaluation in result.evaluations.items():
        mean, interval = evaluation["mean"]["foreground"], evaluation["ci95"]["foreground"]
        lowest = min(case["1"]["dice"] for case in evaluation["cases"].values())
        table.add_row(
            method,
            str(result.steps[method]),
            DICE.text(mean["dice"], interval["dice"]),
            *(metric.text(mean[metric.name]) for metric in shown[1:]),
            DICE.text(lowest),
        )
    first, *_, last = result.evaluations
    difference = DICE.text(result.difference["mean"], result.difference["ci95"], sign="+")
    warnings = [f"Warning, {method}: {said}." for method, said in result.undertrained.items() if said]
    lines = [
        *warnings,
        f"Mean [95 % interval over {result.difference['patients']} patients].",
        f"Dice, {last} minus {first}: {difference} "
        f"over {result.difference['n']} held-out phantoms, equal training time.",
        f"Masks: {result.figure}",
        "Next: semivox train SCANS --out run --budget 1h; then semivox predict run NEW_SCANS --out masks",
    ]
    return Group(table, Text("\n".join(lines)))


def main(given: DemoOptions) -> int:
    """Run the demo, and show its table."""
    from semivox.training.display import ConsoleDisplay

    with ConsoleDisplay() as display:
        result = demo.of(replace(given, display=display))
    show(render(result))
    return 0


COMMAND = Command(DemoOptions, main, ("semivox demo", "semivox demo --out first_try --budget 5m"))
