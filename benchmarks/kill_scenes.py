"""One small run of each command, for kill_points.py: what is there before, the command, and how it goes on.

Pages and pictures, which take seconds to draw, are one short file here, written as the real ones are; those
of ``report`` are real.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

from semivox.annotating import Desk
from semivox.annotating.book import Reader
from semivox.cli import main
from semivox.cohort import write_phantom_cohort
from semivox.cohort.phantom import make_phantom
from semivox.errors import SemivoxError
from semivox.files import write_text
from semivox.stopping import StopSignals

STEPS = "4"
"""Of `train`; real processes take more."""
phantom = cache(make_phantom)
SETTINGS = {
    "run.log_every": 1,
    "run.precision": "fp32",
    "run.threads": 1,
    "run.checkpoint_seconds": 0,
    "run.sweeps": 1,
}
SETS = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]


@dataclass(frozen=True)
class Scene:
    """``prepare(root)`` puts what is there before into ``root/out``; ``words(root, again)`` is the command,
    for the first time or to go on; ``instead`` is called where there is no such command."""

    name: str
    prepare: Callable[[Path], None]
    words: Callable[[Path, bool], list[object]] = lambda root, again: []
    instead: Callable[[Path], int] | None = None

    def before(self, root: Path) -> Path:
        """Where the copy of what was there before lies."""
        return root / "before" / self.name

    def set_up(self, root: Path) -> Path:
        """Put what is there before into ``root/out``, which is returned, and keep a copy of it."""
        out, before = root / "out", self.before(root)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        self.prepare(root)
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(out, before)
        return out

    def bring_back(self, root: Path) -> None:
        """Make ``root/out`` what it was before."""
        shutil.rmtree(root / "out")
        shutil.copytree(self.before(root), root / "out")

    def act(self, root: Path, again: bool) -> int:
        """Run it in this process; returns its exit code."""
        return run_quickly(*self.words(root, again)) if self.instead is None else self.instead(root)


def template(root: Path) -> None:
    """What all scenes share: phantoms, a small plan, and two models."""
    write_phantom_cohort(root / "phantoms", labeled=2, unlabeled=2, test=2, dims=2)
    small = ["--set", "plan.rung=3", "--set", "plan.patch=[16,16]", "--set", "plan.batch=[1,1]"]
    plan = root / "plan.json"
    _done("plan", root / "phantoms/train", "--out", plan, *small, "--set", "plan.network.kind=unet")
    content = json.loads(plan.read_text())
    levels = len(content["network"]["features"])
    content["network"]["features"] = [2 * (level + 1) for level in range(levels)]
    plan.write_text(json.dumps(content))
    for seed in ("0", "1"):
        _done(*_train(root, root / f"model{seed}", "supervised", "2", seed))
    for path in ("images", "labels"):
        (root / "folders" / path).mkdir(parents=True)
    for case in sorted((root / "phantoms/test/labelsTr").iterdir()):
        shutil.copyfile(case, root / "folders/labels" / case.name)
        image = root / "phantoms/test/imagesTr" / case.name.replace(".png", "_0000.png")
        shutil.copyfile(image, root / "folders/images" / case.name)


@contextlib.contextmanager
def _quick_pages() -> Iterator[None]:
    def page(run: Path) -> None:
        write_text(run / "report.html", "<html></html>\n")

    def sheet(cards: object, out: Path, **more: object) -> None:
        write_text(out, "a picture\n")

    with (
        mock.patch("semivox.commands.train._write_page", page),
        mock.patch("semivox.comparison.cell_run._write_page", page),
        mock.patch("semivox.commands.compare._draw", lambda out, display: page(out)),
        mock.patch("semivox.report.contact_sheet.contact_sheet", sheet),
        mock.patch("semivox.annotating.server.put_in_order", _list_and_end),
        mock.patch("semivox.prepare.parallel.cpus", return_value=1),  # the operations keep their order
    ):
        yield


def _list_and_end(desk: Desk, order: object, rank: bool) -> None:
    """In place of the page of ``annotate``: what it shows first."""
    desk.take_ranking(desk.run / "ranking", desk.folder / "ranking")
    for row in desk.listing(Reader("me", "page")):
        desk.book.history(row["case"])
    signal.raise_signal(signal.SIGINT)


def run_quickly(*words: object) -> int:
    with _quick_pages():
        return main([str(word) for word in words])


def _done(*words: object) -> None:
    code = run_quickly(*words)
    assert code == 0, (words, code)


def _train(root: Path, out: Path, method: str, steps: str, seed: str = "0") -> list[object]:
    return [
        "train", root / "phantoms/train", "--out", out, "--method", method, "--steps", steps, "--seed", seed,
        "--plan", root / "plan.json", "--cache", out.parent / "cache", *SETS,
    ]  # fmt: skip


def _nothing(root: Path) -> None:
    pass


def _training(root: Path, again: bool) -> list[object]:
    """With pseudo-labels and watched cases."""
    watch = ["--watch", root / "phantoms/test"]
    words = _train(root, root / "out/run", "self_training", STEPS)
    return [*words, *watch, *(["--resume"] if again else [])]


def _predicting(root: Path, again: bool, model: str = "model0") -> list[object]:
    words = ["predict", root / model, root / "phantoms/test", "--out", root / "out/masks", "--probabilities"]
    return [*words, *(["--skip-existing"] if again else [])]


def _evaluating(root: Path, again: bool, tolerance: str = "2") -> list[object]:
    return ["evaluate", root / "out/masks", root / "phantoms/test", "--tolerance-mm", tolerance]


def _reporting(root: Path, again: bool) -> list[object]:
    return ["report", root / "out/run", "--test", root / "phantoms/test"]


def _ranking(root: Path, again: bool, top: str = "2") -> list[object]:
    return ["rank", root / "out/run", root / "phantoms/train", "--top", top]


def _comparing(root: Path, again: bool, methods: str = "supervised,mean_teacher") -> list[object]:
    data = ["compare", root / "phantoms/train", "--test", root / "phantoms/test", "--methods", methods]
    out = ["--out", root / "out/compared", "--steps", "2"]
    return [*data, *out, "--plan", root / "plan.json", "--cache", root / "out/cache", *SETS]


def _importing(root: Path, again: bool) -> list[object]:
    return ["import", "folders", root / "folders", root / "out/imported"]


def _planning(root: Path, again: bool) -> list[object]:
    return ["plan", root / "out/data", "--out", root / "out/plan.json"]


def _excluding(root: Path, again: bool) -> list[object]:
    return ["check", root / "out/data", "--write-exclude"]


def _phantoms(root: Path) -> int:
    """The data of the demo; its other parts are the commands above."""
    try:
        with StopSignals(at_once=True), mock.patch("semivox.cohort.phantom.make_phantom", phantom):
            write_phantom_cohort(root / "out/phantoms", labeled=1, unlabeled=1, test=1, dims=2)
    except (SemivoxError, KeyboardInterrupt) as error:
        print(f"{root}: {error}; go on with: semivox demo", file=sys.stderr)
        return getattr(error, "exit_code", 4)
    return 0


def _other_masks(root: Path) -> None:
    _done(*_predicting(root, False, "model1"))


def _evaluated(root: Path) -> None:
    _other_masks(root)
    _done(*_evaluating(root, False, "1"))


def _run_there(root: Path) -> None:
    shutil.copytree(root / "model0", root / "out/run")


def _ranked(root: Path) -> None:
    _run_there(root)
    _done(*_ranking(root, False, "1"))


def _compared(root: Path) -> None:
    _done(*_comparing(root, False, "supervised"))


def _data_there(root: Path) -> None:
    shutil.copytree(root / "phantoms/train", root / "out/data", ignore=shutil.ignore_patterns(".semivox"))


def _one_broken(root: Path) -> None:
    _data_there(root)
    broken = sorted((root / "out/data/imagesTr").iterdir())[-1]
    broken.write_bytes(broken.read_bytes()[:100])


SCENES = {
    scene.name: scene
    for scene in (
        Scene("train", _nothing, _training),
        Scene("predict", _other_masks, _predicting),
        Scene("evaluate", _evaluated, _evaluating),
        Scene("compare", _compared, _comparing),
        Scene("rank", _ranked, _ranking),
        Scene("report", _run_there, _reporting),
        Scene("import", _nothing, _importing),
        Scene("demo's data", _nothing, instead=_phantoms),
        Scene("plan", _data_there, _planning),
        Scene("check", _one_broken, _excluding),
    )
}
