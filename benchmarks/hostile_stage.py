"""What lies there for hostile_commands.py: data, runs, masks, a comparison, and commands that read them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from hostile_damage import remove
from kill_points import FailingDisk, new_process
from kill_scenes import SETS, run_quickly, template
from semivox.cohort.cases_csv import COLUMNS

READ = (".json", ".jsonl", ".yaml", ".csv", ".ckpt", ".safetensors", ".npy", ".txt", ".sqlite")
"""Endings of files that are damaged; those of scans are fuzz_readers.py's."""


@dataclass(frozen=True)
class Line:
    """A command; ``words`` are of the command line, with ``@`` for the folder of all. It may write below the
    folders ``writes``."""

    name: str
    words: str
    writes: tuple[str, ...] = ()

    def at(self, root: Path) -> list[str]:
        return [word.replace("@", str(root)) for word in self.words.split(" ")]


CACHES = ("cache", "phantoms/train/.semivox")
DATA, TEST = "@/phantoms/train", "@/phantoms/test"
TRAIN = f"train {DATA} --out @/out/run --plan @/plan.json --cache @/cache --steps 1 {' '.join(SETS)}"
COMPARE = (
    f"compare {DATA} --test {TEST} --methods supervised,mean_teacher --out @/compared --plan @/plan.json"
)
NOWHERE = "dicomweb:http://127.0.0.1:9/dicom-web"
"""Nothing listens there."""
MEASURED = COMPARE.replace("@/compared", "@/measured")
LINES = {
    line.name: line
    for line in (
        Line("check", f"check {DATA} --json", ("phantoms/train/cases.csv",)),
        Line("plan", f"plan {DATA} --out @/out/plan.json --cache @/cache", ("cache",)),
        Line("train", f"{TRAIN} --labeled @/labeled.txt --method supervised", CACHES),
        Line("train from", f"{TRAIN} --init @/model1 --config @/config.yaml", ("cache",)),
        Line("train on", f"train {DATA} --out @/begun --cache @/cache --resume", ("cache", "begun")),
        Line("predict", f"predict @/model0 {TEST} --out @/out/masks"),
        Line(
            "predict on", f"predict @/model0 {TEST} --out @/masks --probabilities --skip-existing", ("masks",)
        ),
        Line("evaluate", f"evaluate @/masks {TEST} --out @/out/evaluation.json", ("masks",)),
        Line("compare", f"{COMPARE} --cache @/cache --steps 2 {' '.join(SETS)}", ("compared", "cache")),
        Line("compare on", f"{MEASURED} --cache @/cache --steps 2 {' '.join(SETS)}", ("measured", "cache")),
        Line("compare list", f"{COMPARE} --steps 2 --list {' '.join(SETS)}", ("compared", "cache")),
        Line("report", f"report @/model0 --test {TEST} --out @/out/report.html", ("model0",)),
        Line("report begun", "report @/begun --out @/out/report.html", ("begun",)),
        Line("report compared", "report @/compared --out @/out/report.html", ("compared",)),
        Line("rank", f"rank @/model0 {DATA} --top 2 --out @/out/rank"),
        Line("loop", f"loop {DATA} --runs @/rounds"),
        Line("check regions", "check @/regions --json", ("regions/cases.csv",)),
        Line("plan regions", "plan @/regions --out @/out/plan.json --cache @/cache", ("cache",)),
        Line("predict study", f"predict @/model0 {NOWHERE} --study 1.2.3 --series 1.2.4 --out @/out/masks"),
        Line("annotate", "annotate @/model1 @/drawn --port 0 --reader me", ("drawn/annotations",)),
        Line("import folders", "import folders @/folders @/out/imported"),
        Line("import msd", "import msd @/msd @/out/imported"),
        Line("methods", "methods cps"),
        Line("export", "export @/model0 --to torchscript --out @/out/exported", ("model0",)),
        Line("demo", "demo --out @/plan.json"),
    )
}
"""Of ``compare on`` no cell is finished, though each has run. ``demo``, which takes minutes, is refused for
its folder; what it does is tried elsewhere. ``annotate`` lists all scans and ends."""


def build(root: Path) -> None:
    """Make all that lies there."""
    root.mkdir()
    template(root)
    dress(root)
    for name in ("predict on", "evaluate", "compare", "report"):
        words = [word for word in LINES[name].at(root) if word != "--skip-existing"]
        assert run_quickly(*words[: -2 if name in ("evaluate", "report") else None]) == 0, words
    begun = [*TRAIN.replace("@", str(root)).split(" "), "--method", "self_training"]
    begun[begun.index("--out") + 1], begun[begun.index("--steps") + 1] = str(root / "begun"), "4"
    with FailingDisk() as counted, new_process():
        assert run_quickly(*begun) == 0
    shutil.rmtree(root / "begun")
    with FailingDisk(2 * len(counted.operations) // 3, "signal"), new_process():
        assert run_quickly(*begun) == 4
    assert run_quickly("rank", root / "model1", root / "phantoms/train", "--top", "2") == 0
    _annotated(root)
    shutil.copytree(root / "model1", root / "rounds/1/run")
    shutil.copytree(root / "masks", root / "rounds/1/masks")
    shutil.copytree(root / "compared", root / "measured")
    for cell in (root / "measured").rglob("cell.json"):
        failure = {"format": 1, "error": "DataError", "message": "x", "time": 1.0, "traceback": None}
        cell.with_name("failed.json").write_text(json.dumps(failure))
        cell.unlink()


def dress(root: Path) -> None:
    """What is there beside the template of kill_scenes.py: lists, tables, and paths of every sort."""
    for name in ("out", "here", "full"):
        (root / name).mkdir()
    (root / "precious.txt").write_text("nobody may touch this\n")
    (root / "full" / "kept.txt").write_text("nor this\n")
    data = root / "phantoms/train"
    cases = sorted(p.name.removesuffix("_0000.png") for p in (data / "imagesTr").iterdir())
    lines = [",".join(COLUMNS), *(f"{case},p{n},,,yes" for n, case in enumerate(cases))]
    (data / "cases.csv").write_text("\n".join(lines) + "\n")
    labeled = sorted(p.stem for p in (data / "labelsTr").iterdir())
    (root / "labeled.txt").write_text("\n".join(labeled) + "\n")
    shutil.copy(root / "model0/config.yaml", root / "config.yaml")
    _regions(data, root / "regions")
    (root / "raw").mkdir()
    (root / "raw/Dataset001_Phantom").symlink_to(data)
    _msd(root / "msd")
    os.mkfifo(root / "a-pipe")
    (root / "to-itself").symlink_to("to-itself")
    (root / "to-nothing").symlink_to("is-not-there")
    (root / "ring").mkdir()
    (root / "ring" / "again").symlink_to("..")


def _regions(data: Path, folder: Path) -> None:
    """The same scans, with a region in the upper half of what is labelled."""
    shutil.copytree(data, folder)
    for path in (folder / "labelsTr").iterdir():
        label = np.asarray(Image.open(path)).copy()
        label[: len(label) // 2][label[: len(label) // 2] > 0] = 2
        Image.fromarray(label).save(path)
    about = json.loads((folder / "dataset.json").read_text())
    about |= {"labels": {"background": 0, "all": [1, 2], "part": 2}, "regions_class_order": [1, 2]}
    (folder / "dataset.json").write_text(json.dumps(about))


def _annotated(root: Path) -> None:
    """A data folder on which a reader has worked."""
    from semivox.annotating import Desk
    from semivox.annotating.book import Reader

    shutil.copytree(root / "phantoms/train", root / "drawn")
    desk, me = Desk(root / "model1", root / "drawn", "cpu"), Reader("me", "page")
    for number, scan in enumerate(desk.cases):
        desk.take_next(me)
        if number < 2:
            desk.save(scan, me, desk.facts(scan, me)["version"], desk.mask(scan), 3.0)
        else:
            desk.mark(scan, me, ("skip", "flag")[number % 2], "a note", 1.0)


def stock_of(root: Path) -> Path:
    return root.with_name(root.name + "-stock")


def _no_pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if stat.S_ISFIFO(os.lstat(os.path.join(folder, name)).st_mode)]


def _msd(folder: Path) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
        for case in ("a", "b"):
            array = np.zeros((16, 16, 8), np.uint8)
            array[4:9, 4:9, 2:5] = 1
            nib.save(nib.Nifti1Image(array, np.eye(4)), folder / name / f"{case}.nii.gz")
    pairs = [{"image": f"./imagesTr/{c}.nii.gz", "label": f"./labelsTr/{c}.nii.gz"} for c in ("a", "b")]
    about = {"labels": {"0": "background", "1": "organ"}, "modality": {"0": "MRI"}, "test": []}
    (folder / "dataset.json").write_text(json.dumps({"name": "m", **about, "training": pairs}))


PATHS = (
    "@/full", "@/here", "@/precious.txt", "@/precious.txt/below", "@/a-pipe", "@/to-itself", "@/to-nothing",
    "@/ring", "@/missing", "@/missing/deep", "@/model0", "@/phantoms/train", "@/msd", "@/compared",
    "@/plan.json",
    f"@/{'n' * 300}", f"@/{'d/' * 3000}x", "@/phantoms/train/imagesTr/..", ".", "..",
)  # fmt: skip
"""Given to every option, beside hostile texts."""


def listing(root: Path) -> dict[str, tuple[int, int, int]]:
    """Kind, size and time of change of everything below ``root``."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            about = os.lstat(path := os.path.join(folder, name))
            kept = stat.S_ISREG(about.st_mode)  # of a file made anew in the same place
            size, changed = (about.st_size, about.st_mtime_ns) if kept else (0, 0)
            found[os.path.relpath(path, root)] = (stat.S_IFMT(about.st_mode), size, changed)
    return found


class Stage:
    """``root`` as it was first met, again after each try; a copy is kept beside it."""

    def __init__(self, root: Path) -> None:
        self.root, self.stock = root, stock_of(root)
        if not self.stock.exists():
            shutil.copytree(root, self.stock, symlinks=True, ignore=_no_pipes)
        self.before = listing(self.stock)

    def put_back(self) -> list[str]:
        """Make it what it was; returns what had changed."""
        now = listing(self.root)
        if now.get("a-pipe", (0,))[0] == stat.S_IFIFO:
            del now["a-pipe"]  # no copy can be kept of it
        changed = [name for name in sorted({*now, *self.before}) if now.get(name) != self.before.get(name)]
        for name in changed:
            if name in now:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    remove(self.root / name)
        for name in changed:
            if name in self.before:
                self._copy(name)
        if not (self.root / "a-pipe").is_fifo():
            remove(self.root / "a-pipe")
            os.mkfifo(self.root / "a-pipe")
        os.chdir(self.root / "here")  # it may be another one now
        return changed

    def _copy(self, name: str) -> None:
        source, target = self.stock / name, self.root / name
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copy2(source, target)

    def read_by(self, line: Line) -> list[str]:
        """The files of settings and records, below the root, that a command opens."""
        found = set[str]()
        unheard = io.StringIO()
        with _opened(found), contextlib.redirect_stdout(unheard), contextlib.redirect_stderr(unheard):
            run_quickly(*line.at(self.root))
        self.put_back()
        names = (os.path.relpath(path, self.root) for path in found if path.startswith(f"{self.root}/"))
        return sorted(name for name in names if name in self.before and Path(name).suffix in READ)


_hearing: list[set[str]] = []


@contextlib.contextmanager
def _opened(found: set[str]) -> Iterator[None]:
    _listen()
    _hearing.append(found)
    try:
        yield
    finally:
        _hearing.pop()


@cache
def _listen() -> None:
    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "sqlite3.connect") and _hearing and isinstance(arguments[0], str | os.PathLike):
            _hearing[-1].add(os.path.abspath(os.fspath(arguments[0])))

    sys.addaudithook(hear)
