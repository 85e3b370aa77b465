"""Training runs on small phantoms: resume, refusals, what changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from semivox.cohort.phantom import write_phantom_cohort
from semivox.commands.train import train
from semivox.errors import DataError, SettingsError, Stopped, TrainingFailed
from semivox.methods.catalog import CATALOG, RECOMMENDED, parse_method
from semivox.testing.displays import StopAfter, Told
from semivox.training.checkpoints import load as load_checkpoint
from semivox.training.journal import read_journal

COLD = {"run.warm_up": 0.0}
"""A method's own stages and no other."""
Folders = tuple[Path, Path]


def of_any_network(small: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in small.items() if name != "plan.network.kind"}


def settings_in(run: Path) -> dict[str, Any]:
    """The settings that a run writes down."""
    return yaml.safe_load((run / "config.yaml").read_text())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("method", CATALOG)
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    method: str, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    def go(out: str, **more: Any) -> None:
        train(phantoms[0], tmp_path / out, method=method, steps=5, settings=small, cache=cache, **more)

    go("whole")
    with pytest.raises(Stopped, match=r"SIGTERM after step 2 of 5.*--resume"):
        go("parts", display=StopAfter(2))
    status = json.loads((tmp_path / "parts/status.json").read_text())
    assert (status["state"], status["step"]) == ("stopped", 2)
    assert not (tmp_path / "parts/model.json").exists()
    go("parts", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")
    lines = [
        [r for r in read_journal(tmp_path / run / "metrics.jsonl") if r["kind"] == "step"]
        for run in ("whole", "parts")
    ]
    assert [r["terms"] for r in lines[0]] == [r["terms"] for r in lines[1]]
    assert [r["step"] for r in lines[1]] == [0, 1, 2, 3, 4]


def test_a_killed_process_resumes_to_the_same_bits(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """SIGKILL on a real process, seen alive in mid-run."""
    sets = [x for k, v in {**small, "run.checkpoint_seconds": 0}.items() for x in ("--set", f"{k}={v}")]
    steps = 12

    def command(out: str, *more: str) -> list[str]:
        return [
            sys.executable, "-m", "semivox", "train", str(phantoms[0]), "--out", str(tmp_path / out),
            "--method", "supervised", "--cache", str(cache), *more,
        ]  # fmt: skip

    fresh = ["--steps", str(steps), *sets]
    subprocess.run(command("whole", *fresh), check=True, capture_output=True)
    process = subprocess.Popen(command("killed", *fresh), stderr=subprocess.DEVNULL)
    journal = tmp_path / "killed/metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and len(journal.read_text().splitlines()) >= 3):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    assert process.poll() is None, "it must be alive in mid-run"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    status = json.loads((tmp_path / "killed/status.json").read_text())
    assert status["state"] == "training"
    assert not (tmp_path / "killed/model.json").exists()
    again = subprocess.run(command("killed", "--resume"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert same(tmp_path / "whole", tmp_path / "killed")
    records = list(read_journal(journal))
    assert [r["step"] for r in records] == list(range(steps))


def test_labels_of_unlabelled_cases_are_never_opened(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms[0], data, ignore=shutil.ignore_patterns(".semivox"))
    labels = sorted((data / "labelsTr").iterdir())
    for case in ("without", "garbage"):
        if case == "garbage":
            labels[1].write_bytes(b"this is no label")
        train(
            data,
            tmp_path / case,
            method="simcvd",
            labeled=1,
            steps=2,
            settings=small,
            cache=tmp_path / f"cache {case}",
        )
    assert same(tmp_path / "without", tmp_path / "garbage")


def test_watching_changes_no_bit(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    for out, watch in (("plain", None), ("watched", phantoms[1])):
        train(
            phantoms[0], tmp_path / out, method="mean_teacher", steps=4, watch=watch, cache=cache,
            settings={**small, "run.watch_share": 0.5},
        )  # fmt: skip
    assert same(tmp_path / "plain", tmp_path / "watched")
    watched = [r for r in read_journal(tmp_path / "watched/metrics.jsonl") if r["kind"] == "watch"]
    assert [r["step"] for r in watched] == [1, 3]
    assert all(0 <= value <= 1 for r in watched for value in r["dice"].values())


def test_the_run_folder_tells_all(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = train(
        phantoms[0], run, method="simcvd{contrast=0,temperature=0.2}", labeled="1@3", steps=2, seed=4,
        settings=small, cache=cache,
    )  # fmt: skip
    assert (result.method, result.steps, result.run) == ("simcvd", 2, run)
    config = settings_in(run)
    assert config["run"]["steps"] == 2
    assert config["run"]["seed"] == 4
    assert config["method"]["contrast"] == 0
    assert config["method"]["temperature"] == 0.2
    assert config["plan"]["patch"] == [16, 16, 16]
    rows = json.loads((run / "cases.json").read_text())["cases"]
    assert [r["role"] for r in rows] == ["labeled"] + ["unlabeled"] * 4
    assert all(len(r["sha256"]) == 64 for r in rows)
    for name in (
        "plan.json",
        "environment.json",
        "status.json",
        "model.json",
        "model.safetensors",
        "checkpoints/last.ckpt",
    ):
        assert (run / name).is_file(), name
    card = json.loads((run / "model.json").read_text())
    assert card["predictor"] == ["teacher"]
    assert card["method"] == "simcvd"
    assert "contrast" not in next(read_journal(run / "metrics.jsonl"))["terms"]

    # its own config repeats it, bit for bit
    train(phantoms[0], tmp_path / "again", config=run / "config.yaml", cache=cache)
    assert same(run, tmp_path / "again")


def test_what_is_refused_before_anything_is_trained(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    def go(out: Path = tmp_path / "run", **more: Any) -> None:
        train(phantoms[0], out, **{"steps": 1, "settings": small, "cache": cache, **more})

    with pytest.raises(SettingsError, match=r"unknown setting 'optimizer\.lrr'.*optimizer\.lr"):
        go(settings={"optimizer.lrr": 1})
    with pytest.raises(SettingsError, match=r"unknown setting.*method\.contrast"):
        go(method="simcvd{contrst=0}")
    with pytest.raises(SettingsError, match="unknown method 'simcdv'.*did you mean 'simcvd'"):
        go(method="simcdv")
    with pytest.raises(SettingsError, match="both steps and budget"):
        go(budget=60.0)
    with pytest.raises(SettingsError, match="9"):
        go(labeled=9)
    with pytest.raises(DataError, match="missing|no such|not a"):
        train(tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run/config.yaml").exists()
    go(method="supervised")
    with pytest.raises(SettingsError, match=r"disagree.*plan\.batch: \[1, 1\] in the file, \[2, 2\]"):
        go(
            out=tmp_path / "other",
            plan=tmp_path / "run/plan.json",
            settings={**small, "plan.batch": [2, 2]},
        )
    go(out=tmp_path / "third", method="supervised", plan=tmp_path / "run/plan.json")  # they agree
    with pytest.raises(SettingsError, match="already holds a run.*--resume"):
        go()


def test_a_resumed_run_refuses_changed_settings_and_scans(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms[0], data, ignore=shutil.ignore_patterns(".semivox"))
    run, cache = tmp_path / "run", tmp_path / "cache"
    with pytest.raises(Stopped):
        train(data, run, method="simcvd", steps=4, settings=small, cache=cache, display=StopAfter(1))
    with pytest.raises(SettingsError, match=r"optimizer\.lr: 0\.2 -> 0\.5"):
        train(data, run, resume=True, settings={"optimizer.lr": 0.5}, cache=cache)
    with pytest.raises(SettingsError, match=r"run\.seed: 0 -> 1"):
        train(data, run, resume=True, seed=1, cache=cache)
    with pytest.raises(SettingsError, match=r"run\.method: 'simcvd' -> 'supervised'"):
        train(data, run, resume=True, method="supervised", cache=cache)
    images = sorted((data / "imagesTr").iterdir())
    shutil.copy(images[-2], images[-1])  # both unlabelled
    with pytest.raises(DataError, match="cohort has changed"):
        train(data, run, resume=True, cache=cache)


def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    every = {**small, "run.checkpoint_seconds": 0}
    train(phantoms[0], tmp_path / "whole", method="supervised", steps=4, settings=every, cache=cache)
    with pytest.raises(Stopped):
        train(
            phantoms[0],
            tmp_path / "run",
            method="supervised",
            steps=4,
            settings=every,
            cache=cache,
            display=StopAfter(3),
        )
    last = tmp_path / "run/checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF
    last.write_bytes(content)

    display = Told()
    train(phantoms[0], tmp_path / "run", resume=True, cache=cache, display=display)
    assert any("last.ckpt is damaged" in line for line in display.said)
    assert same(tmp_path / "whole", tmp_path / "run")


def test_a_second_process_on_a_live_run_is_refused(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    from semivox.training.run_folder import RunFolder

    with RunFolder(tmp_path / "run") as run:
        run.status("training", 3)
        with pytest.raises(SettingsError, match=f"another process.*{os.getpid()}"):
            train(phantoms[0], tmp_path / "run", steps=1, settings=small, cache=cache)


def test_a_loss_that_explodes_ends_in_training_failed(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    wild = {**small, "optimizer.lr": 1e6, "optimizer.clip": 0}
    with pytest.raises(TrainingFailed, match="not finite at step"):
        train(phantoms[0], tmp_path / "run", method="supervised", steps=8, settings=wild, cache=cache)
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "failed"


def test_two_dimensions_and_two_classes(
    flat_phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    flat = {**small, "plan.patch": [32, 32], "plan.rung": 1}
    train(flat_phantoms[0], tmp_path / "run", method="simcvd", steps=2, settings=flat, cache=cache)
    first, second = (r["terms"] for r in read_journal(tmp_path / "run/metrics.jsonl"))
    assert set(first) == {"segmentation"}  # the warm-up
    assert set(second) == {"segmentation", "distance", "contrast", "distillation", "consistency"}


def test_weights_of_another_run_begin_a_new_one(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    train(phantoms[0], tmp_path / "first", method="supervised", steps=3, settings=small, cache=cache)
    still = {**small, "optimizer.lr": 0.0, "optimizer.weight_decay": 0.0}
    train(
        phantoms[0],
        tmp_path / "second",
        method="simcvd",
        steps=1,
        init=tmp_path / "first",
        settings=still,
        cache=cache,
    )
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    learned = [k for k in before if k.startswith("teacher.") and "running" not in k]
    assert learned
    assert all(torch.equal(before[k], after[k.replace("teacher", "student", 1)]) for k in learned)


def test_a_method_of_ones_own(phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from semivox.methods.supervised import Supervised\n"
        "from semivox.methods.declare import Term\n\n"
        "class Twice(Supervised):\n"
        "    def step(self, batch, at):\n"
        "        return {k: Term(2 * t.value) for k, t in super().step(batch, at).items()}\n"
    )
    run = tmp_path / "run"
    train(phantoms[0], run, method=f"{file}:Twice", steps=1, settings=small, cache=cache)
    train(phantoms[0], tmp_path / "plain", method="supervised", steps=1, settings=small, cache=cache)
    mine, plain = (
        next(read_journal(r / "metrics.jsonl"))["terms"]["segmentation"] for r in (run, tmp_path / "plain")
    )
    assert mine == pytest.approx(2 * plain)
    assert (run / "source/mine.py").read_text() == file.read_text()


SELF_TRAINING = """
from semivox.batches.stream import Stream
from semivox.losses import segmentation_loss
from semivox.methods.declare import Pair, Player, Relabel, Stage, Term
from semivox.methods.supervised import Supervised

class SelfTraining(Supervised):
    needs_unlabeled = True

    def stages(self, facts):
        players, pairs = (Player("segmenter", ("student",)),), (Pair("student", "teacher", 0.9),)
        labeled = Stream("labeled", 1, target="label", where="foreground")
        pseudo = Stream("unlabeled", 1, target="pseudo", where="foreground")
        both = {"labeled": labeled, "pseudo": pseudo}
        generations = min(2, facts.sweeps or 2)
        return [Stage("labeled", {"labeled": labeled}, players, pairs, 0.4)] + [
            Stage(
                f"generation{g}", both, players, pairs, 0.6 / generations,
                relabel=Relabel(clean="largest", windows=False),
                start="initial" if g == 0 else "go_on",
            )
            for g in range(generations)
        ]

    def step(self, batch, at):
        terms = {}
        for name, crops in batch.items():
            logits = self.student(crops.views["weak"], drop=at.rng(name)).logits
            loss = segmentation_loss(logits, crops.target, crops.valid, crops.annotated)
            terms[name] = Term(loss)
        return terms
"""


class KilledWhileLabelling(Told):
    """A display that fails after ``cases`` cases of a stage are labelled, or sends SIGTERM then."""

    def __init__(self, stage: str, cases: int, signalled: bool) -> None:
        super().__init__()
        self.what, self.cases, self.signalled = f"label for {stage}", cases, signalled

    def work(self, what: str, done: int, total: int) -> None:
        if (what, done) == (self.what, self.cases):
            if not self.signalled:
                raise RuntimeError("killed")
            os.kill(os.getpid(), signal.SIGTERM)


def test_self_training_labels_resumes_and_opens_no_other_label(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms[0], data, ignore=shutil.ignore_patterns(".semivox"))
    labels = sorted((data / "labelsTr").iterdir())
    file = tmp_path / "mine.py"
    file.write_text(SELF_TRAINING)

    def go(out: str, **more: Any) -> None:
        train(data, tmp_path / out, cache=tmp_path / "cache", **more)

    new = {"method": f"{file}:SelfTraining", "labeled": 1, "steps": 8, "settings": {**small, **COLD}}
    go("whole", **new)
    records = list(read_journal(tmp_path / "whole/metrics.jsonl"))
    events = [(r["kind"], r["step"]) for r in records]
    assert events == [
        ("step", 0), ("step", 1), ("step", 2), ("relabel", 3), ("step", 3), ("step", 4), ("step", 5),
        ("relabel", 6), ("step", 6), ("step", 7),
    ]  # fmt: skip
    first, second = (r for r in records if r["kind"] == "relabel")
    assert (first["stage"], first["part"], first["cases"]) == ("generation0", [0, 1], 4)
    assert first["laziness"] is None
    assert 0 <= second["laziness"]["foreground"] <= 1
    assert settings_in(tmp_path / "whole")["run"]["sweeps"] is None

    # stopped at a border, killed in the first labelling, stopped by a signal in the second, stopped after it
    with pytest.raises(Stopped):
        go("parts", **new, display=StopAfter(3))
    with pytest.raises(RuntimeError, match="killed"):
        go("parts", resume=True, display=KilledWhileLabelling("generation0", 2, signalled=False))
    made = sorted((tmp_path / "parts/pseudo_labels/001").rglob("*.npy"))
    assert len(made) == 2 * 3
    times = [path.stat().st_mtime_ns for path in made]
    with pytest.raises(Stopped, match="after step 6 of 8.*--resume"):
        go("parts", resume=True, display=KilledWhileLabelling("generation1", 3, signalled=True))
    assert [path.stat().st_mtime_ns for path in made] == times
    state, _ = load_checkpoint(tmp_path / "parts/checkpoints")  # no step of the stage before is lost
    assert state is not None
    assert state["step"] == 6
    assert json.loads((tmp_path / "parts/status.json").read_text())["state"] == "stopped"
    with pytest.raises(Stopped):
        go("parts", resume=True, display=StopAfter(7))
    go("parts", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")
    again = list(read_journal(tmp_path / "parts/metrics.jsonl"))
    assert [(r["kind"], r["step"]) for r in again] == events
    assert [r.get("laziness") for r in again] == [r.get("laziness") for r in records]

    labels[1].write_bytes(b"this is no label")  # an unlabelled case's
    go("garbage", **new)
    assert same(tmp_path / "whole", tmp_path / "garbage")


def test_a_round_of_labels_that_cannot_be_right_is_not_learned_from(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """After three steps a network finds its class nowhere, or everywhere: each round is refused."""
    file, display = tmp_path / "mine.py", Told()
    file.write_text(SELF_TRAINING)
    method = f"{file}:SelfTraining"
    asked = {"method": method, "labeled": 2, "steps": 8, "settings": {**small, **COLD}, "cache": cache}
    train(phantoms[0], tmp_path / "guarded", **asked, display=display)
    records = list(read_journal(tmp_path / "guarded/metrics.jsonl"))
    assert [bool(r["refused"]) for r in records if r["kind"] == "relabel"] == [True, True]
    assert {tuple(r["terms"]) for r in records if r["kind"] == "step" and r["step"] >= 3} == {
        ("segmentation",)
    }
    told = [line for line in display.said if "refused" in line]
    assert len(told) == 2
    assert "run.guard=false" in told[0]

    with pytest.raises(Stopped):  # in the middle of a refused stage
        train(phantoms[0], tmp_path / "parts", **asked, display=StopAfter(5))
    train(phantoms[0], tmp_path / "parts", resume=True, cache=cache)
    assert same(tmp_path / "guarded", tmp_path / "parts")

    asked["settings"] = {**small, **COLD, "run.guard": False}
    train(phantoms[0], tmp_path / "unguarded", **asked)
    records = list(read_journal(tmp_path / "unguarded/metrics.jsonl"))
    assert {tuple(r["terms"]) for r in records if r["kind"] == "step" and r["step"] >= 3} == {
        ("labeled", "pseudo")
    }
    assert not same(tmp_path / "guarded", tmp_path / "unguarded")


@pytest.mark.parametrize("folder", [0, 1])  # with unlabelled scans, and without
def test_auto_is_chosen_by_steps_and_scans_and_said_in_a_line(
    folder: int, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    display = Told()
    more: dict[str, Any] = {"settings": of_any_network(small), "cache": cache, "display": display}
    result = train(phantoms[folder], tmp_path / "run", steps=5, **more)
    assert result.method == "supervised"
    assert settings_in(tmp_path / "run")["method"]["exchange"] == 0
    (line,) = [line for line in display.said if line.startswith("method: ")]
    scans = ("2 labelled, 3 unlabelled scans", "2 labelled scans")[folder]
    assert line == f"method: supervised: {scans}, 5 steps: too few (override: --method NAME)"
    assert settings_in(tmp_path / "run")["plan"]["network.kind"] == "unet"  # as the plan was made before


def test_auto_takes_a_network_that_the_package_has_weights_for_unless_told(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    given = [f"{name}={value}" for name, value in of_any_network(small).items()]
    begun = []
    for name, more in (("run", []), ("told", ["plan.network.kind=vnet"])):
        display = Told()
        asked: dict[str, Any] = {"steps": 1, "cache": cache, "display": display}
        train(phantoms[0], tmp_path / name, settings=[*given, *more], **asked)
        begun.append([line for line in display.said if line.startswith("weights: the package's")])
        kind = json.loads((tmp_path / name / "plan.json").read_text())["network"]["kind"]
        assert kind == ("vnet" if more else "unet")
    assert [len(lines) for lines in begun] == [1, 0]
    train(phantoms[0], tmp_path / "named", method="supervised", steps=1, settings=given, cache=cache)
    assert "network.kind" not in settings_in(tmp_path / "named")["plan"]


@pytest.mark.parametrize(
    ("unlabeled", "given", "name"),
    [
        (2, {}, RECOMMENDED),
        (1, {}, "supervised{exchange=1}"),  # fewer than the labelled ones
        (0, {}, "supervised{exchange=1}"),
        (0, {"method.exchange": 0}, "supervised"),
        (0, {"few": 2}, "supervised"),  # as many labelled ones as are not learned by heart
    ],
)
def test_auto_takes_what_pays_with_these_scans_where_there_are_steps(
    unlabeled: int, given: dict[str, Any], name: str,
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rest = {"few": 3} | given
    monkeypatch.setattr("semivox.runs.asked.FEW_LABELED", rest.pop("few"))
    data, _ = write_phantom_cohort(tmp_path, labeled=2, unlabeled=unlabeled, test=1)
    display, run = StopAfter(1), tmp_path / "run"
    with pytest.raises(Stopped):
        train(data, run, steps=1000, settings={**of_any_network(small), **rest}, display=display)
    method, written = parse_method(name)[0], settings_in(run)
    assert written["run"]["method"] == method
    assert method == RECOMMENDED or written["method"]["exchange"] == (name != method)
    assert written["plan"].get("network.kind") == (None if "few" in given else "unet")
    (line,) = [line for line in display.said if line.startswith("method: ")]
    scans = f"2 labelled, {unlabeled} unlabelled scans" if unlabeled else "2 labelled scans"
    assert line == f"method: {name}: {scans}, 1,000 steps (override: --method NAME)"


@pytest.mark.parametrize("folder", [0, 1])
@pytest.mark.parametrize(
    ("init", "steps", "boxes"), [(None, 200, True), (None, 199, False), ("scratch", 200, False)]
)
def test_boxes_need_fewer_steps_where_networks_begin_with_the_packages_weights(
    folder: int, init: str | None, steps: int, boxes: bool,
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path,
) -> None:  # fmt: skip
    more: dict[str, Any] = {"settings": small, "cache": cache, "display": StopAfter(1)}
    with pytest.raises(Stopped):
        train(phantoms[folder], tmp_path / "run", steps=steps, init=init, **more)
    written = settings_in(tmp_path / "run")
    assert (written["run"]["method"], written["method"]["exchange"]) == ("supervised", int(boxes))
    (line,) = [line for line in more["display"].said if line.startswith("method: ")]
    name = "supervised{exchange=1}" if boxes else "supervised"
    assert line.startswith(f"method: {name}: 2 labelled")
    before = (RECOMMENDED, "supervised{exchange=1}")[folder]
    assert ("too few" in line) == (name != before)


@pytest.mark.parametrize("given", [{}, {"run.sweeps": 0}])
@pytest.mark.parametrize("folder", [0, 1])
def test_auto_goes_back_to_labels_alone_where_fewer_steps_are_measured_than_planned(
    folder: int, given: dict[str, Any],
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for least in ("LEAST_STEPS", "LEAST_STEPS_BEGUN"):
        monkeypatch.setattr(f"semivox.runs.asked.{least}", 10**6)
    display, settings, run = Told(), {**small, **given, "plan.steps": 2 * 10**6}, tmp_path / "run"
    more: dict[str, Any] = {"settings": settings, "cache": cache, "display": display}
    result = train(phantoms[folder], run, budget=4.0, **more)
    assert result.method == "supervised"
    first, second = [line for line in display.said if line.startswith("method: ")]
    before = (RECOMMENDED, "supervised{exchange=1}")[folder]
    assert first.startswith(f"method: {before}: 2 labelled")
    assert "scans, about 2,000,000 steps" in first
    assert second.startswith("method: supervised after all: ")
    assert second.endswith(f" steps are too few for {before} (override: --method NAME)")
    assert settings_in(run)["run"]["method"] == "supervised"
    assert settings_in(run)["method"]["exchange"] == 0


def test_auto_learns_labels_alone_with_boxes_where_there_is_no_time_to_label_scans(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semivox.runs.asked.LEAST_STEPS", 3)
    display, settings = Told(), {**small, "run.sweeps": 0}
    more: dict[str, Any] = {"settings": settings, "cache": cache, "display": display}
    result = train(phantoms[0], tmp_path / "run", steps=4, **more)
    assert result.method == "supervised"
    assert settings_in(tmp_path / "run")["method"]["exchange"] == 1
    _, second = [line for line in display.said if line.startswith("method: ")]
    why = "there is no time to label scans"
    assert second == f"method: supervised{{exchange=1}} after all: {why} (override: --method NAME)"


def test_lost_pseudo_labels_stop_a_resumed_run_with_the_remedy(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    file, run = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(SELF_TRAINING)
    with pytest.raises(Stopped):
        train(
            phantoms[0], run, method=f"{file}:SelfTraining", steps=8, settings={**small, **COLD}, cache=cache,
            display=StopAfter(4),
        )  # fmt: skip
    shutil.rmtree(run / "pseudo_labels")
    with pytest.raises(DataError, match=r"pseudo_labels: there is no pseudo-label of case .* Remedy: put"):
        train(phantoms[0], run, resume=True, cache=cache)


def test_a_budget_fixes_sweeps_and_steps(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    file, run = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(SELF_TRAINING)
    display = KilledWhileLabelling("generation0", 2, signalled=True)
    with pytest.raises(Stopped):
        train(
            phantoms[0], run, method=f"{file}:SelfTraining", budget=40.0, settings={**small, **COLD},
            cache=cache, display=display,
        )  # fmt: skip
    config = settings_in(run)["run"]
    assert config["steps"] >= 1
    assert config["sweeps"] >= 1
    passes = min(2, config["sweeps"])
    assert any(line.startswith(f"relabelling: {passes} passes over 3 unlabelled") for line in display.said)
    assert [p.name for p in (run / "pseudo_labels").iterdir()] == ["001"]


def test_a_checkpoint_of_another_kind_is_refused(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        train(
            phantoms[0], run, method="supervised", steps=5, settings=small, cache=cache, display=StopAfter(2)
        )
    (run / "checkpoints/previous.ckpt").unlink(missing_ok=True)
    whole = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    lacking = [
        {k: v for k, v in whole.items() if k != name} for name in ("method", "step", "ends", "seconds")
    ]
    for state in [*lacking, {**whole, "step": "two"}, {**whole, "method": {}}, {**whole, "method": 3}]:
        torch.save(state, run / "checkpoints/last.ckpt")
        with pytest.raises(DataError, match="checkpoint is not one of this run"):
            train(phantoms[0], run, settings=small, cache=cache, resume=True)
