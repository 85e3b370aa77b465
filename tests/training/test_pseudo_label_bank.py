"""The pseudo-label bank: what lies in a generation, what a kill leaves, what a stage sees."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semivox.batches import Batches, PseudoLabel, Stream, part_of
from semivox.errors import DataError
from semivox.methods.declare import Relabel
from semivox.networks import Output
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan, Store
from semivox.randomness import BatchKey, Key
from semivox.tiles import predict_planned
from semivox.training import pseudo_label_bank as bank_module
from semivox.training.labelling import agreement, agreement_of, label_scan
from semivox.training.pseudo_label_bank import BlankLabels, PseudoLabelBank

SHAPES = [(12, 10), (9, 11), (8, 8), (14, 9), (10, 10), (11, 12)]
PLAN = Plan(
    dims=2, axes=(0, 1), native_spacing=(1.0, 1.0), spacing=(1.0, 1.0), spacing_known=True, rung=1.0,
    shape=(8, 8), patch=(4, 4), batch=(1, 1), network=NetworkPlan("unet", (4, 8), ((3, 3),) * 2, ((2, 2),)),
    channels=(ChannelPlan("x", "zscore"),),
    classes=(ClassPlan(1, "a", 1.0, 1.0), ClassPlan(5, "b", 1.0, 1.0)),
    budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
)  # fmt: skip
one_forward = partial(Relabel, windows=False)
ALL, WINDOWS = one_forward(), Relabel()


class FakeStore:
    """Case 0 is labelled, the five others are not; each a patient of its own."""

    labeled, unlabeled = (0,), (1, 2, 3, 4, 5)
    cases = tuple("abcdef")
    patients = tuple(f"patient {name}" for name in "abcdef")
    rows = tuple(SimpleNamespace(shape=shape) for shape in SHAPES)

    def case(self, index: int) -> Any:
        shape = SHAPES[index]
        rng = np.random.default_rng(index)
        return SimpleNamespace(
            image=rng.normal(size=(1, *shape)).astype(np.float16), target=None, valid=None, foreground={},
            body=np.zeros((1, 2), np.int32), spacing=(1.0, 1.0), annotated=np.zeros(2, np.float32),
        )  # fmt: skip


class Net(nn.Module):
    """Three classes from a 3 x 3 convolution; it counts what it is asked."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(1, 3, 3, padding=1)
        self.asked = 0

    def forward(self, x: Tensor, drop: BatchKey | None = None, norm: str = "update") -> Output:
        assert (drop, norm) == (None, "running")
        self.asked += 1
        return Output(3 * self.layer(x))


def bank(folder: Path, seed: int = 0) -> PseudoLabelBank:
    return PseudoLabelBank(folder, cast(Store, FakeStore()), PLAN, Key(seed))


def files(folder: Path) -> dict[str, bytes]:
    """The arrays below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.npy"))}


def same(a: PseudoLabel, b: PseudoLabel) -> bool:
    return (
        np.array_equal(a.target, b.target)
        and np.array_equal(a.confidence, b.confidence)
        and a.foreground.keys() == b.foreground.keys()
        and all(np.array_equal(a.foreground[k], b.foreground[k]) for k in a.foreground)
    )


def padded_probs(nets: Sequence[Net], image: np.ndarray) -> np.ndarray:
    """(K, X, Y) the mean softmax, the image padded with zeros to a multiple of 2."""
    x = torch.tensor(image, dtype=torch.float32)
    missing = [n % 2 for n in x.shape[1:]]
    x = nn.functional.pad(x, (missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0]))
    with torch.no_grad():
        each = [torch.softmax(3 * net.layer(x[None])[0], 0) for net in nets]
    return (sum(each) / len(each))[:, : image.shape[1], : image.shape[2]].numpy()


def test_a_pseudo_label_is_argmax_confidence_and_points_of_the_mean_softmax(tmp_path: Path) -> None:
    nets = [Net(0), Net(1)]
    one = bank(tmp_path)
    record = one.relabel("s", 0, ALL, nets)
    view = one.view(0)
    volumes = np.zeros(2)
    for case in FakeStore.unlabeled:
        probs = padded_probs(nets, FakeStore().case(case).image)
        found = view.labels(case)
        assert found.target.dtype == found.confidence.dtype == np.uint8
        points: dict[int, list[tuple[int, ...]]] = {1: [], 2: []}
        for at in np.ndindex(*SHAPES[case]):
            p = [float(q[at]) for q in probs]
            k = p.index(max(p))
            assert [int(plane[at]) for plane in found.target] == [255 * (k == 1), 255 * (k == 2)]
            assert abs(int(found.confidence[0][at]) - 255 * max(p)) <= 0.51
            if k:
                points[k].append(at)
        assert {k: [tuple(p) for p in v] for k, v in found.foreground.items()} == {
            k: v for k, v in points.items() if v
        }
        volumes += [len(points[1]), len(points[2])]
    assert record["volumes"] == pytest.approx({"a": volumes[0] / 5, "b": volumes[1] / 5})
    assert (record["cases"], record["part"], record["laziness"]) == (5, [0, 1], None)


def test_soft_labels_keep_the_probabilities_and_never_exceed_one() -> None:
    image = FakeStore().case(3).image
    probs = padded_probs([Net()], image)
    soft = label_scan([Net()], image, PLAN, one_forward(soft=True), Key(0)).target
    assert np.abs(soft - 255 * probs[1:]).max() < 1.001
    assert soft.sum(0, dtype=int).max() <= 255
    assert len(np.unique(soft)) > 20


class Drawn(Net):
    """Says what a picture says: its value is the class, 0.9 sure."""

    def forward(self, x: Tensor, drop: BatchKey | None = None, norm: str = "update") -> Output:
        probs = torch.full((1, 3, *x.shape[2:]), 0.05)
        return Output(probs.scatter_(1, x.round().long(), 0.9).log())


@pytest.mark.parametrize("soft", [False, True])
def test_clean_up_leaves_the_largest_component_of_each_class(soft: bool) -> None:
    image = np.zeros((1, 12, 12), np.float16)
    image[0, 1:5, 1:5] = 1
    image[0, 8, 8] = 1  # an island
    image[0, 6, 1:4] = 2
    image[0, 7, 4] = 2  # touches by a corner
    plain = label_scan([Drawn()], image, PLAN, one_forward(soft=soft), Key(0))
    clean = label_scan([Drawn()], image, PLAN, one_forward(soft=soft, clean="largest"), Key(0))
    assert plain.target[0, 8, 8] > 200
    assert clean.target[:, 8, 8].tolist() == [0, 0]
    changed = np.argwhere((plain.target != clean.target).any(0)).tolist()
    assert changed == [[8, 8]]
    assert [8, 8] in plain.foreground[1].tolist()
    assert [8, 8] not in clean.foreground[1].tolist()
    assert len(clean.foreground[2]) == 4
    assert np.array_equal(plain.confidence, clean.confidence)

    several = replace(PLAN, classes=(replace(PLAN.classes[0], one_piece=False), PLAN.classes[1]))
    kept = label_scan([Drawn()], image, several, one_forward(soft=soft, clean="largest"), Key(0))
    assert np.array_equal(kept.target, plain.target)


def test_at_most_2000_points_of_a_class_drawn_by_the_key() -> None:
    image = np.ones((1, 60, 60), np.float16)
    one, two, other = (label_scan([Drawn()], image, PLAN, ALL, Key(k)).foreground[1] for k in (0, 0, 1))
    assert one.shape == (2000, 2)
    assert one.dtype == np.int32
    assert len({tuple(p) for p in one.tolist()}) == 2000
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


class KilledError(Exception):
    pass


def killed_after(cases: int) -> Any:
    def progress(done: int, total: int) -> None:
        if done == cases:
            raise KilledError

    return progress


def test_a_killed_relabelling_goes_on_with_the_cases_it_has(tmp_path: Path) -> None:
    bank(tmp_path / "whole").relabel("s", 0, ALL, [Net()])
    net, parts = Net(), bank(tmp_path / "parts")
    with pytest.raises(KilledError):
        parts.relabel("s", 0, ALL, [net], killed_after(2))
    folder = tmp_path / "parts/000"
    assert not (folder / "manifest.json").exists()
    assert parts.view(0).folders == {}  # nothing counts before the manifest
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.npy")}
    assert len(before) == 2 * 3
    (folder / "00003").mkdir()  # the third case was half written
    (folder / "00003/target.npy").write_bytes(b"half")
    again = Net()
    record = parts.relabel("s", 0, ALL, [again])
    assert (net.asked, again.asked) == (2, 3)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["cases"] == record["cases"] == 5
    assert manifest["seconds"] == pytest.approx(sum(row["seconds"] for row in manifest["rows"]))
    assert len(manifest["weights"]) == 64
    assert [p for p in tmp_path.rglob("*") if ".writing" in p.name] == []

    # what is published stays, and costs nothing, but a damaged case is made again
    (folder / "00002/confidence.npy").write_bytes(b"")
    third = Net()
    assert parts.relabel("s", 0, ALL, [third])["volumes"] == record["volumes"]
    assert third.asked == 1
    assert files(tmp_path / "whole") == files(tmp_path / "parts")


class Reads(nn.Module):
    """The class of a voxel is its intensity."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.kinds = nn.Parameter(torch.arange(kinds, dtype=torch.float32))

    def forward(self, x: Tensor, drop: BatchKey | None = None, norm: str = "update") -> Output:
        return Output(-99 * (x - self.kinds[None, :, None, None]).square())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("clean", ["none", "largest"])
@pytest.mark.parametrize("kinds", [2, 21, 256, 257, 300])
def test_each_of_many_classes_is_labelled(kinds: int, clean: Any, soft: bool) -> None:
    classes = tuple(ClassPlan(k, str(k), 1.0, 1.0) for k in range(1, kinds))
    image = np.arange(400, dtype=np.float32).reshape(1, 20, 20).clip(max=kinds - 1)  # one piece each
    with torch.no_grad():
        label = label_scan(
            [Reads(kinds)], image, replace(PLAN, classes=classes), Relabel(soft=soft, clean=clean), Key(0)
        )
    found = np.concatenate([255 - label.target.sum(0, dtype=int, keepdims=True), label.target]).argmax(0)
    assert np.array_equal(found, image[0])
    assert sorted(label.foreground) == list(range(1, kinds))


@pytest.mark.parametrize("key", ["index", "volumes", "laziness", "agreement", "confidences", "seconds"])
def test_a_record_that_lacks_or_bends_something_is_made_again(key: str, tmp_path: Path) -> None:
    labels = bank(tmp_path)
    labels.relabel("s", 0, ALL, [Net()])
    path = tmp_path / "000/00002/case.json"
    whole = json.loads(path.read_text())
    for row in ({k: v for k, v in whole.items() if k != key}, {**whole, key: [[0]]}, {**whole, key: "1"}):
        path.write_text(json.dumps(row))
        again = Net()
        labels.relabel("s", 0, ALL, [again])
        assert again.asked == 1
        made = json.loads(path.read_text())
        assert {**made, "seconds": 0} == {**whole, "seconds": 0}


@pytest.mark.parametrize(
    ("seed", "relabel"),
    [
        (1, ALL),
        (0, one_forward(soft=True)),
        (0, one_forward(clean="largest")),
        (0, one_forward((0, 2))),
        (0, WINDOWS),
    ],
)
def test_other_weights_or_another_labelling_start_over(tmp_path: Path, seed: int, relabel: Relabel) -> None:
    one = bank(tmp_path / "one")
    one.relabel("s", 0, ALL, [Net()])
    net, other = Net(seed), Net(seed)
    with pytest.raises(KilledError):
        one.relabel("s", 0, relabel, [net], killed_after(1))
    assert one.view(0).folders == {}  # the old manifest no longer counts
    one.relabel("s", 0, relabel, [net])
    cases = part_of(FakeStore.unlabeled, FakeStore.patients, relabel.part, Key(0))
    fresh = bank(tmp_path / "fresh")
    fresh.relabel("s", 0, relabel, [other])
    assert net.asked == other.asked  # no case twice, however many forwards it takes
    assert relabel.windows or other.asked == len(cases)
    assert files(tmp_path / "one") == files(tmp_path / "fresh")


def test_any_changed_bit_of_the_weights_or_buffers_is_another_hash() -> None:
    from semivox.training.labelling import weights_hash

    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    hashes = {weights_hash([net])}
    assert weights_hash([net]) in hashes
    assert net[0].bias is not None
    net[0].bias.data[1] = torch.nextafter(net[0].bias.data[1], torch.tensor(9.0))
    hashes.add(weights_hash([net]))
    cast(Tensor, net[1].running_var)[0] += 1
    hashes.add(weights_hash([net]))
    cast(Tensor, net[1].num_batches_tracked).add_(1)
    hashes.add(weights_hash([net]))
    hashes.add(weights_hash([net, net]))
    assert len(hashes) == 5


def slow_dice(a: np.ndarray, b: np.ndarray) -> float:
    both = size = 0
    for at in np.ndindex(*a.shape):
        both += bool(a[at]) and bool(b[at])
        size += bool(a[at]) + bool(b[at])
    return 2 * both / size if size else 1.0


def test_laziness_is_the_dice_with_the_labels_before(tmp_path: Path) -> None:
    one = bank(tmp_path)
    one.relabel("s0", 0, ALL, [Net(0)])
    old = [one.view(0).labels(case).target.copy() for case in FakeStore.unlabeled]
    record = one.relabel("s1", 1, ALL, [Net(1)])
    new = [one.view(1).labels(case).target for case in FakeStore.unlabeled]
    by_class = [np.mean([slow_dice(n[k], o[k]) for n, o in zip(new, old, strict=True)]) for k in (0, 1)]
    expected = {"a": by_class[0], "b": by_class[1], "foreground": np.mean(by_class)}
    assert record["laziness"] == pytest.approx(expected)
    assert 0 < record["laziness"]["foreground"] < 1
    for path in (tmp_path / "001").rglob("target.npy"):
        path.write_bytes(b"")  # made again, and compared with the generation before, not with itself
    assert one.relabel("s1", 1, ALL, [Net(1)])["laziness"] == record["laziness"]
    assert one.relabel("s2", 2, ALL, [Net(1)])["laziness"]["foreground"] == 1.0
    assert one.relabel("s1", 1, ALL, [Net(1)])["laziness"] == record["laziness"]  # told again after a kill
    empty = np.zeros((1, 3, 3), np.uint8)
    half = np.full((1, 3, 3), 100, np.uint8)
    assert agreement(empty, empty) == [1.0]
    assert agreement(empty, half) == [0.0]
    assert agreement(half, half * 2) == [pytest.approx(2 * 100 / 300)]


def test_a_half_of_the_cases_is_compared_with_whatever_labelled_it_last(tmp_path: Path) -> None:
    one = bank(tmp_path)
    one.relabel("whole", 0, ALL, [Net(0)])
    assert one.relabel("first", 1, one_forward((0, 2)), [Net(0)])["laziness"]["foreground"] == 1.0
    one.relabel("first again", 2, one_forward((0, 2)), [Net(1)])
    assert one.relabel("second", 3, one_forward((1, 2)), [Net(0)])["laziness"]["foreground"] == 1.0
    view = one.view(3)
    homes = {case: folder.parent.name for case, folder in view.folders.items()}
    first = part_of(FakeStore.unlabeled, FakeStore.patients, (0, 2), Key(0))
    assert homes == {case: "002" if case in first else "003" for case in FakeStore.unlabeled}
    assert {f.parent.name for f in one.view(2).folders.values()} == {"000", "002"}


def test_of_each_part_the_newest_two_generations_stay(tmp_path: Path) -> None:
    one = bank(tmp_path)
    halves = one_forward((0, 2)), one_forward((1, 2))
    for index in range(7):
        one.relabel(f"s{index}", index, halves[index % 2], [Net(index)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["003", "004", "005", "006"]
    # a run that resumed at generation 5 sees what it saw then
    homes = {f.parent.name for f in one.view(5).folders.values()}
    assert homes == {"004", "005"}


def test_the_parts_are_those_of_the_streams(tmp_path: Path) -> None:
    one = bank(tmp_path, seed=3)
    one.relabel("s", 0, one_forward((1, 2)), [Net()])

    def batches(part: tuple[int, int]) -> Batches:
        stream = Stream("unlabeled", 2, target="pseudo", where="foreground", part=part)
        return Batches(FakeStore(), {"pseudo": stream}, (4, 4), Key(3), "s", pseudo=one.view(0))

    crops = [batches((1, 2)).batch(step)["pseudo"] for step in range(6)]
    assert {int(c) for batch in crops for c in batch.case} == set(one.view(0).folders)
    assert any(bool(batch.target.any()) for batch in crops if batch.target is not None)
    with pytest.raises(DataError, match="no pseudo-label of case"):
        batches((0, 2)).batch(0)


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    one = bank(tmp_path / "labels")
    with pytest.raises(
        DataError, match=r"labels: there is no pseudo-label of case b\. Remedy: put the folder"
    ):
        one.view(4).labels(1)
    one.relabel("s", 0, ALL, [Net()])
    for name, content in {"target": b"nothing", "confidence": None, "foreground": b""}.items():
        path = tmp_path / f"labels/000/00002/{name}.npy"
        kept = path.read_bytes()
        path.write_bytes(kept[: len(kept) // 2] if content is None else content)
        with pytest.raises(DataError, match=r"labels/000/00002: the pseudo-label of case c is damaged"):
            one.view(0).labels(2)
        path.write_bytes(kept)
    np.save(tmp_path / "labels/000/00002/target.npy", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(DataError, match=r"case c is damaged; found shape \(2, 3, 3\)"):
        one.view(0).labels(2)
    one.relabel("t", 1, ALL, [Net(1)])  # a damaged one before is no obstacle
    (tmp_path / "labels/000/manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"000/manifest\.json: the record of its pseudo-labels is damaged"):
        one.view(1)
    one.clear()
    assert one.view(1).folders == {}


def test_timing_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, net = bank(tmp_path / "labels"), Net()
    monkeypatch.setattr(bank_module, "TIMED", 0.0)
    seconds = one.seconds_a_case(ALL, [net])
    assert 0 < seconds < 5
    assert net.asked == 3
    assert list((tmp_path / "labels").iterdir()) == []


@pytest.mark.parametrize("each", [0.05, 0.4, 1.5])
@pytest.mark.parametrize("busy_from", [0.0, 0.3, 0.9, 1.4, 2.2, 4.0])
def test_a_busy_second_changes_no_timing(
    each: float, busy_from: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, mean = [0.0], np.mean([math.prod(SHAPES[case]) for case in FakeStore.unlabeled])

    def label(place: Path, case: int, *_: object) -> dict[str, float]:
        began = now[0]
        now[0] += each * math.prod(SHAPES[case]) / mean
        if began < busy_from + 1 and now[0] > busy_from:
            now[0] += 1.0
        return {"seconds": now[0] - began}

    one = bank(tmp_path / "labels")
    monkeypatch.setattr(one, "_label", label)
    monkeypatch.setattr(bank_module.time, "monotonic", lambda: now[0])
    assert one.seconds_a_case(ALL, [Net()]) == pytest.approx(each)
    assert now[0] <= 3 * (1.4 * each + 1) + 3


@pytest.mark.parametrize("fixed", [0.0, 0.05])
@pytest.mark.parametrize("order", ["small first", "large first", "mixed"])
@pytest.mark.parametrize("cases", [1, 3, 10, 94])
def test_the_time_of_scans_of_all_sizes_is_told_from_three(
    cases: int, order: str, fixed: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans up to ten times as large as others, and a part of the time that is not their size's."""
    edges = np.random.default_rng(cases).permutation(np.linspace(20, 200, cases).astype(int))
    edges = {"small first": np.sort(edges), "large first": np.sort(edges)[::-1], "mixed": edges}[order]
    store = FakeStore()
    store.unlabeled = tuple(range(cases))
    store.rows = tuple(SimpleNamespace(shape=(int(edge), 10, 10)) for edge in edges)
    seconds = [fixed + 1e-5 * 100 * int(edge) for edge in edges]
    one = PseudoLabelBank(tmp_path / "labels", cast(Store, store), PLAN, Key(0))
    asked = list[int]()

    def label(place: Path, case: int, *_: object) -> dict[str, float]:
        asked.append(case)
        return {"seconds": seconds[case]}

    monkeypatch.setattr(one, "_label", label)
    monkeypatch.setattr(bank_module, "TIMED", 0.0)
    assert one.seconds_a_case(ALL, [Net()]) == pytest.approx(np.mean(seconds), rel=0.1)
    assert len(set(asked)) == min(3, cases)
    assert one.seconds_a_case(ALL, [Net()], deadline=0.0) == pytest.approx(np.mean(seconds), rel=0.1)


def test_blank_labels_make_batches_of_sure_background() -> None:
    stream = Stream("unlabeled", 4, target="pseudo", where="shared_classes", confidence=0.9)
    blank = BlankLabels(cast(Store, FakeStore()), PLAN)
    crops = Batches(FakeStore(), {"u": stream}, (4, 4), Key(0), "s", pseudo=blank).batch(0)["u"]
    assert crops.target is not None
    assert crops.target.shape == (4, 2, 4, 4)
    assert not crops.target.any()
    assert bool(crops.valid.all())


def test_everything_is_the_same_under_another_folder_and_order_of_runs(tmp_path: Path) -> None:
    """A generation is a function of weights, case and index alone."""
    long, short = bank(tmp_path / "long"), bank(tmp_path / "short")
    for index in range(3):
        long.relabel(f"s{index}", index, ALL, [Net(index)])
    short.relabel("s2", 2, ALL, [Net(2)])
    assert all(same(long.view(2).labels(c), short.view(2).labels(c)) for c in FakeStore.unlabeled)


def test_mirrored_labels_are_the_mean_over_mirror_images_and_weigh_by_their_agreement() -> None:
    nets, image = [Net(0)], FakeStore().case(2).image  # 8 x 8: no padding that a mirror image has elsewhere
    plain = label_scan(nets, image, PLAN, one_forward(), Key(0), (0, 1))
    assert plain.weight == 1.0
    label = label_scan(nets, image, PLAN, one_forward(mirrors=2), Key(0), (0, 1))
    views = [padded_probs(nets, image)]
    for axis in (1, 2):
        views.append(np.flip(padded_probs(nets, np.flip(image, axis).copy()), axis))
    mean = np.mean(views, 0)
    assert np.array_equal(label.target > 0, np.stack([mean.argmax(0) == k for k in (1, 2)]))
    assert np.abs(label.confidence[0] - 255 * mean.max(0)).max() <= 0.51
    dices = []
    for other in views[1:]:
        for k in (1, 2):
            a, b = views[0].argmax(0) == k, other.argmax(0) == k
            dices.append(2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else 1.0)
    assert label.weight == pytest.approx(np.mean(dices))
    assert label.weight < 1


def test_labels_of_windows_are_those_of_masks() -> None:
    plan = replace(PLAN, patch=(4, 4))  # a scan of 8 x 8 has nine of them
    nets, image = [Net(0)], FakeStore().case(2).image
    expected = predict_planned(nets, image, plan).max(0)
    label = label_scan(nets, image, plan, WINDOWS, Key(0))
    assert np.array_equal(label.target > 0, np.stack([expected.indices == k for k in (1, 2)]))
    assert np.abs(label.confidence[0] - 255 * expected.values.numpy()).max() <= 0.51
    whole = label_scan(nets, image, plan, one_forward(), Key(0))
    assert not np.array_equal(label.confidence, whole.confidence)


def test_of_the_mirror_axes_the_first_are_taken() -> None:
    nets, image = [Net(0)], FakeStore().case(2).image
    one = label_scan(nets, image, PLAN, one_forward(mirrors=1), Key(0), (0, 1))
    assert np.array_equal(
        one.confidence, label_scan(nets, image, PLAN, one_forward(mirrors=2), Key(0), (0,)).confidence
    )


def test_a_view_brings_the_floors_of_all_scans_and_the_weight_of_each(tmp_path: Path) -> None:
    one = PseudoLabelBank(tmp_path, cast(Store, FakeStore()), PLAN, Key(0), mirror_axes=(0, 1))
    one.relabel("s", 0, one_forward(mirrors=2), [Net(0)])
    manifest = json.loads((tmp_path / "000" / "manifest.json").read_text())
    labels = [one.view(0).labels(case) for case in FakeStore.unlabeled]
    assert {label.floors for label in labels} == {tuple(manifest["floors"])}
    assert len(labels[0].floors) == 3
    weights = [min(1.0, max(0.0, (row["agreement"] - 0.6) / 0.3)) for row in manifest["rows"]]
    assert [label.weight for label in labels] == pytest.approx(weights)
    agreed = {row["index"]: row["agreement"] for row in manifest["rows"]}
    assert {case: one.view(0).agreement(case) for case in FakeStore.unlabeled} == agreed
    assert one.view(-1).agreement(FakeStore.unlabeled[0]) == 0  # not labelled yet


def test_a_round_that_lacks_a_labelled_class_is_refused_for_good(tmp_path: Path) -> None:
    class Labelled(FakeStore):
        """Case 0 shows both classes in half of its voxels each."""

        def case(self, index: int) -> Any:
            case = super().case(index)
            if index == 0:
                case.target = np.full((2, *SHAPES[0]), 127, np.uint8)
                case.annotated = np.ones(2, np.float32)
            return case

    class Background(Net):
        def forward(self, x: Tensor, drop: BatchKey | None = None, norm: str = "update") -> Output:
            return Output(torch.tensor([5.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, *x.shape[2:]))

    one = PseudoLabelBank(tmp_path, cast(Store, Labelled()), PLAN, Key(0))
    record = one.relabel("s", 0, ALL, [Background()])
    assert "a is missing from 100% of the scans" in record["refused"]
    again = PseudoLabelBank(tmp_path, cast(Store, Labelled()), PLAN, Key(0))
    assert again.refused(0)
    assert not again.refused(1)


def test_a_scan_in_which_nothing_is_found_is_not_the_surest() -> None:
    """Where every label shows a class, its absence from a scan and its mirror image is no agreement."""

    def view(*values: int) -> Tensor:
        return nn.functional.one_hot(torch.tensor(values), 3).T.float()[:, None]

    nothing, both, one = view(0, 0, 0, 0), view(1, 1, 2, 2), view(1, 1, 0, 0)
    assert agreement_of([nothing, nothing]) == 1
    assert agreement_of([nothing, nothing], [True, True]) == 0
    assert agreement_of([nothing], [True, True]) == 0
    assert agreement_of([nothing, nothing], [True, False]) == 0.5
    assert agreement_of([one, one], [True, True]) == 0.5
    assert agreement_of([both, both], [True, True]) == agreement_of([both], [True, True]) == 1
    assert agreement_of([both, one]) == agreement_of([both, one], [True, True]) == 0.5


def test_the_bank_knows_what_every_label_shows(tmp_path: Path) -> None:
    target = np.zeros((2, *SHAPES[0]), np.uint8)
    target[0, :3] = 255

    class Labeled(FakeStore):
        def case(self, index: int) -> Any:
            found = super().case(index)
            if index == 0:
                found.target, found.annotated, found.known = target, np.ones(2, np.float32), None
            return found

    class Nothing(Net):
        def forward(self, x: Tensor, drop: BatchKey | None = None, norm: str = "update") -> Output:
            return Output(torch.tensor([9.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(len(x), 3, *x.shape[2:]))

    one = PseudoLabelBank(tmp_path, cast(Store, Labeled()), PLAN, Key(0), mirror_axes=(0,))
    record = one.relabel("s", 0, one_forward(mirrors=1), [Nothing()])
    assert record["agreement"] == 0.5  # the label shows the first class alone
    assert record["refused"].startswith("a is missing from 100% of the scans")
    assert bank(tmp_path / "unlabelled").relabel("s", 0, ALL, [Nothing()])["agreement"] == 1
