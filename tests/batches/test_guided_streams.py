"""Streams beyond plain labels: pseudo-labels, second crops, pairs that share a class."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.batches import Augmentation, Batches, Crops, PseudoLabel, Stream
from semivox.batches.case_draws import draw_cases, surest_of
from semivox.errors import SettingsError
from semivox.losses.distance import signed_distance_maps
from semivox.randomness import Key

SHAPE, PATCH = (40, 36), (12, 8)
PLAIN = Augmentation(enabled=False)
WILD = Augmentation(elastic_probability=1.0)
MOVING = Augmentation(elastic_probability=1.0, gamma=(1, 1), gain=(1, 1), offset=0, noise=0)


def planes_of(squares: Mapping[int, tuple[int, int]], classes: int = 3) -> np.ndarray:
    """(K-1, *SHAPE) uint8: class k fills 3 x 3 voxels from ``squares[k]``."""
    planes = np.zeros((classes, *SHAPE), np.uint8)
    for k, (x, y) in squares.items():
        planes[k - 1, x : x + 3, y : y + 3] = 255
    return planes


def voxels_of(planes: np.ndarray) -> dict[int, np.ndarray]:
    return {k: np.argwhere(p).astype(np.int32) for k, p in enumerate(planes, start=1) if p.any()}


@dataclass
class OneCase:
    """A scan whose first two channels are the voxel's own coordinates; the third is free."""

    squares: Mapping[int, tuple[int, int]]
    labeled: bool = True
    annotated: np.ndarray = None  # type: ignore[assignment]
    body: np.ndarray = None  # type: ignore[assignment]
    third: np.ndarray | None = None
    valid: np.ndarray | None = None
    spacing: tuple[float, ...] = (1.0, 1.0)
    known: None = None

    def __post_init__(self) -> None:
        third = np.zeros(SHAPE) if self.third is None else self.third
        self.image = np.stack([*np.meshgrid(*(np.arange(1, n + 1) for n in SHAPE), indexing="ij"), third])
        if self.annotated is None:
            self.annotated = np.full(3, float(self.labeled), np.float32)
        if self.body is None:
            self.body = np.zeros((0, 2), np.int32)

    @property
    def target(self) -> np.ndarray:
        assert self.labeled, "the label of an unlabelled case was read"
        return planes_of(self.squares)

    @property
    def foreground(self) -> dict[int, np.ndarray]:
        assert self.labeled, "the label of an unlabelled case was read"
        return voxels_of(planes_of(self.squares))


class OneStore:
    def __init__(self, cases: Sequence[OneCase], patients: Sequence[str] | None = None) -> None:
        self.cases = tuple(cases)
        self.labeled = tuple(i for i, c in enumerate(cases) if c.labeled)
        self.unlabeled = tuple(i for i, c in enumerate(cases) if not c.labeled)
        self.patients = tuple(patients or (f"p{i}" for i in range(len(cases))))

    def case(self, index: int) -> OneCase:
        return self.cases[index]


class Bank:
    """Pseudo-labels of the unlabelled cases only: a KeyError for any other."""

    def __init__(self, store: OneStore, shift: int = 0, confidence: np.ndarray | int = 255) -> None:
        self.of = {}
        for i in store.unlabeled:
            moved = {k: (x + shift, y) for k, (x, y) in store.cases[i].squares.items()}
            planes = planes_of(moved)
            sure = np.broadcast_to(np.asarray(confidence, np.uint8), (1, *SHAPE))
            self.of[i] = PseudoLabel(planes, sure, voxels_of(planes))

    def labels(self, index: int) -> PseudoLabel:
        return self.of[index]

    def agreement(self, index: int) -> float:
        return {4: 0.7, 5: 0.9, 6: 0.9, 7: 0.2}[index]


def make_store(**changes: object) -> OneStore:
    """Four labelled and four unlabelled scans, two of each patient; classes sit elsewhere in each."""
    squares = [{1: (2 + 3 * i, 30), 2: (30, 3 * i + 2), 3: (4, 4)} for i in range(8)]
    cases = [OneCase(s, labeled=i < 4, **changes) for i, s in enumerate(squares)]  # type: ignore[arg-type]
    return OneStore(cases, [f"p{i // 2}" for i in range(8)])


def make(stream: Stream, store: OneStore | None = None, **changes: object) -> Batches:
    store = store or make_store()
    arguments: dict = {"store": store, "streams": {"x": stream}, "patch": PATCH, "key": Key(5)}
    arguments |= {"stage": "main", "augmentation": PLAIN, "pseudo": Bank(store, shift=1), **changes}
    return Batches(**arguments)


def named(crops: Crops) -> dict[str, torch.Tensor]:
    parts = {n: getattr(crops, n) for n in ("target", "valid", "annotated", "sdm", "case", "box")}
    return {k: v for k, v in {**parts, **crops.views}.items() if v is not None}


def assert_same(a: Crops, b: Crops, *, but: tuple[str, ...] = ()) -> None:
    ours, theirs = named(a), named(b)
    assert ours.keys() ^ theirs.keys() <= set(but)
    for part in (ours.keys() & theirs.keys()) - set(but):
        assert torch.equal(ours[part], theirs[part]), part


def box_of(crops: Crops, i: int) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in crops.box[i])


def holds(crops: Crops, i: int, point: Sequence[int]) -> bool:
    return all(side.start <= p < side.stop for side, p in zip(box_of(crops, i), point, strict=True))


EVERYTHING = [
    Stream("unlabeled", 4, ("weak", "recrop"), "pseudo", "foreground", sdm=True, confidence=0.4, part=(1, 2)),
    Stream("all", 6, ("weak", "strong", "recrop"), "either", "shared_classes", sdm="crop_minmax"),
    Stream("labeled", 4, ("recrop",), "label", "shared_classes", part=(0, 2)),
    Stream("unlabeled", 4, ("weak", "recrop"), where="body"),
    Stream("all", 4, ("weak", "recrop"), part=(1, 3)),
    Stream("labeled", 5, ("weak", "strong"), "label", "foreground", exchange=0.7),
]


@pytest.mark.parametrize("stream", EVERYTHING)
def test_batches_are_pure_and_read_no_label_of_unlabelled_cases(stream: Stream) -> None:
    """Whatever a stream asks for; the stand-ins fail when an unlabelled case's label is touched."""
    batches = make(stream, augmentation=WILD)
    forward = [batches.batch(step)["x"] for step in range(4)]
    again = pickle.loads(pickle.dumps(make(stream, augmentation=WILD)))
    for step in (3, 0, 2, 1):
        assert_same(forward[step], again.batch(step)["x"])
    last = stream.views[-1]
    assert not torch.equal(forward[0].views[last], forward[1].views[last])


@pytest.mark.parametrize("stream", EVERYTHING)
def test_shards_make_the_whole(stream: Stream) -> None:
    whole = make(stream, augmentation=WILD).batch(1)["x"]
    parts = [make(stream, augmentation=WILD, shard=(rank, 2)).batch(1)["x"] for rank in range(2)]
    for part, value in named(whole).items():
        assert torch.equal(torch.cat([named(p)[part] for p in parts]), value), part


@pytest.mark.parametrize("cases", ["unlabeled", "all"])
def test_targets_are_labels_or_pseudo_labels(cases: str) -> None:
    target = "pseudo" if cases == "unlabeled" else "either"
    store = make_store()
    bank = Bank(store, shift=1)
    stream = Stream(cases, 4, target=target, where="foreground", sdm=True)  # type: ignore[arg-type]
    batches = make(stream, store, pseudo=bank, sdm_limit=5.0)
    seen = set()
    for step in range(6):
        crops = batches.batch(step)["x"]
        assert crops.target is not None
        assert crops.sdm is not None
        assert (crops.annotated == 1).all()
        assert (crops.valid == 1).all()
        for i in range(4):
            index = int(crops.case[i])
            seen.add(index)
            planes = store.case(index).target if index in store.labeled else bank.labels(index).target
            whole = signed_distance_maps(planes / np.float32(255), (1, 1), 5.0)
            window = (slice(None), *box_of(crops, i))
            np.testing.assert_array_equal(crops.target[i].numpy(), planes[window] / np.float32(255))
            np.testing.assert_allclose(crops.sdm[i].numpy(), whole[window], atol=1e-6)
        assert crops.target.any()
    assert seen == set(store.unlabeled if cases == "unlabeled" else range(8))


def test_another_relabelling_changes_the_targets_alone() -> None:
    stream = Stream("all", 8, ("weak", "strong"), "either", where="body")
    store = make_store(body=np.array([[5, 30]], np.int32))
    one = make(stream, store, pseudo=Bank(store, 0), augmentation=WILD)
    two = make(stream, store, pseudo=Bank(store, 2), augmentation=WILD)
    changed = set()
    for step in range(4):
        a, b = one.batch(step)["x"], two.batch(step)["x"]
        assert_same(a, b, but=("target",))
        assert a.target is not None
        assert b.target is not None
        changed |= {
            int(c) for c, x, y in zip(a.case, a.target, b.target, strict=True) if not torch.equal(x, y)
        }
    assert changed
    assert changed <= set(store.unlabeled)


def test_foreground_centres_are_the_pseudo_labels() -> None:
    case = OneCase({2: (35, 31)}, labeled=False)
    store = OneStore([case])
    crops = make(Stream("unlabeled", 300, target="pseudo", where="foreground"), store).batch(0)["x"]
    share = np.mean([holds(crops, i, (37, 32)) for i in range(300)])
    assert 2 / 3 - 0.07 < share < 0.8  # two thirds, and some of the rest by chance


def test_confidence_makes_pseudo_labelled_voxels_invalid() -> None:
    ramp = np.broadcast_to(np.arange(120, 120 + SHAPE[0])[:, None], SHAPE).astype(np.uint8)
    stream = Stream("all", 8, target="either", confidence=0.5)
    store = make_store(third=ramp)
    for augmentation in (PLAIN, MOVING):
        crops = make(stream, store, pseudo=Bank(store, 0, ramp), augmentation=augmentation).batch(2)["x"]
        free = make(
            replace(stream, confidence=0.0), store, pseudo=Bank(store, 0, ramp), augmentation=augmentation
        ).batch(2)["x"]
        assert_same(crops, free, but=("valid",))
        for i, index in enumerate(crops.case.tolist()):
            wanted = free.valid[i, 0]
            if index in store.unlabeled:  # the third channel is the confidence, cut like the image
                wanted = wanted * (crops.views["weak"][i, 2] > 127.49)
            assert torch.equal(crops.valid[i, 0], wanted)
        pseudo = [i for i, index in enumerate(crops.case.tolist()) if index in store.unlabeled]
        assert 0 < crops.valid[pseudo].mean() < free.valid[pseudo].mean()


def test_equal_confidences_meet_their_own_threshold() -> None:
    for stored, kept in ((153, True), (152, False)):
        store = make_store()
        stream = Stream("unlabeled", 8, target="pseudo", confidence=0.6)
        inner = make(stream, store, pseudo=Bank(store, 0, stored), augmentation=MOVING).batch(0)["x"]
        free = make(replace(stream, confidence=0.0), store, augmentation=MOVING).batch(0)["x"]
        well_inside = torch.nn.functional.max_pool2d(1 - free.valid, 3, 1, 1) == 0
        assert well_inside.any()
        assert (inner.valid[well_inside] == float(kept)).all()
    sure = make(replace(stream, confidence=0.2), store, augmentation=MOVING).batch(0)["x"]
    assert_same(sure, free)  # nothing outside the scan becomes valid for being confident


def test_weighted_streams_weigh_pseudo_labelled_voxels_alone() -> None:
    ramp = np.broadcast_to(np.arange(120, 120 + SHAPE[0])[:, None], SHAPE).astype(np.uint8)
    store = make_store(third=ramp)
    bank = Bank(store, 0, ramp)
    bank.of = {i: replace(label, floors=(0.5, 0.5, 0.5, 0.5), weight=0.8) for i, label in bank.of.items()}
    stream = Stream("all", 8, target="either", weighted=True)
    for augmentation in (PLAIN, MOVING):
        crops = make(stream, store, pseudo=bank, augmentation=augmentation).batch(2)["x"]
        unweighted = replace(stream, weighted=False)
        free = make(unweighted, store, pseudo=bank, augmentation=augmentation).batch(2)["x"]
        assert_same(crops, free, but=("valid",))
        for i, index in enumerate(crops.case.tolist()):
            wanted = free.valid[i, 0]
            if index in store.unlabeled:  # the third channel is the confidence, cut like the image
                wanted = wanted * 0.8 * ((crops.views["weak"][i, 2] / 255 - 0.5) / 0.5).clamp(0, 1)
            assert torch.allclose(crops.valid[i, 0], wanted, atol=1e-5)
    assert ((crops.valid > 0) & (crops.valid < 0.8)).any()


def test_a_second_crop_leaves_the_first_alone() -> None:
    for stream in (
        Stream("labeled", 4, ("weak", "strong", "intensity"), "label", "foreground", sdm=True),
        Stream("unlabeled", 4, ("weak",), "pseudo", "shared_classes"),
        Stream("unlabeled", 4, ("weak",)),
    ):
        with_recrop = replace(stream, views=("recrop", *stream.views))
        for augmentation in (PLAIN, WILD):
            one = make(stream, augmentation=augmentation).batch(3)["x"]
            two = make(with_recrop, augmentation=augmentation).batch(3)["x"]
            assert_same(one, two, but=("recrop",))
            assert two.views["recrop"].shape == two.views["weak"].shape
            assert torch.isfinite(two.views["recrop"]).all()


def test_a_second_crop_has_its_own_place_geometry_and_intensity() -> None:
    stream = Stream("labeled", 4, ("weak", "recrop"))
    batches = make(stream)
    starts = np.array(
        [
            [[crops.views[v][i, d].min().item() - 1 for d in range(2)] for v in ("weak", "recrop")]
            for crops in (batches.batch(step)["x"] for step in range(25))
            for i in range(4)
        ]
    )
    crops = batches.batch(0)["x"]
    assert torch.equal(crops.box[:, :, 0], torch.tensor(starts[:4, 0], dtype=torch.float32))
    for axis, room in enumerate(np.array(SHAPE) - PATCH):  # anywhere, and not tied to the first crop
        assert starts[:, 1, axis].min() < 3
        assert starts[:, 1, axis].max() > room - 3
        assert abs(np.corrcoef(starts[:, 0, axis], starts[:, 1, axis])[0, 1]) < 0.3
    # a scan no larger than the patch leaves no choice of place: what differs is geometry, or intensity
    for augmentation in (MOVING, replace(WILD, elastic_probability=0, affine_probability=0, noise=0)):
        views = make(stream, patch=SHAPE, augmentation=augmentation).batch(0)["x"].views
        assert (views["weak"] != views["recrop"]).flatten(1).any(1).all()
    views = make(stream, patch=(50, 50), augmentation=PLAIN).batch(0)["x"].views
    assert torch.equal(views["weak"], views["recrop"])


def test_a_second_crop_is_centred_by_the_same_rule() -> None:
    labeled = OneStore([OneCase({2: (35, 31)})])
    near = {}
    for where in ("random", "foreground", "shared_classes"):
        stream = Stream("labeled", 200, ("recrop",), "label", where)  # type: ignore[arg-type]
        views = make(stream, labeled).batch(0)["x"].views["recrop"]
        near[where] = ((views[:, 0] == 37) & (views[:, 1] == 33)).flatten(1).any(1).float().mean()
    assert near["random"] < 0.3
    assert 0.6 < near["foreground"] < 0.85
    assert near["shared_classes"] == 1
    # unlabelled: around the body; with a pseudo-label, around its classes
    hidden = OneStore([OneCase({2: (35, 31)}, labeled=False, body=np.array([[20, 20]], np.int32))])
    views = make(Stream("unlabeled", 50, ("recrop",)), hidden).batch(0)["x"].views["recrop"]
    assert ((views[:, 0] == 21) & (views[:, 1] == 21)).flatten(1).any(1).all()
    guided = Stream("unlabeled", 50, ("recrop",), "pseudo", "shared_classes")
    views = make(guided, hidden).batch(0)["x"].views["recrop"]
    assert ((views[:, 0] == 38) & (views[:, 1] == 33)).flatten(1).any(1).all()


#: Far apart, so that no crop holds two of them by chance alone.
CORNERS = {1: (1, 1), 2: (35, 31), 3: (2, 32)}


def corner_case(classes: str, labeled: bool = True, annotated: Sequence[float] | None = None) -> OneCase:
    marks = None if annotated is None else np.array(annotated, np.float32)
    return OneCase({int(k): CORNERS[int(k)] for k in classes}, labeled, marks)


def classes_of(store: OneStore, index: int) -> set[int]:
    case = store.case(index)
    return {k for k in case.squares if not case.labeled or case.annotated[k - 1]}


def test_pairs_share_a_class_and_are_centred_on_it() -> None:
    cases = [corner_case(c) for c in ("1", "12", "2", "3", "")]
    cases += [corner_case("13", annotated=(0, 1, 1)), corner_case("3", False), corner_case("12", False)]
    cases.append(corner_case("2", False))
    store = OneStore(cases)
    stream = Stream("all", 4, ("weak",), "either", "shared_classes")
    batches = make(stream, store, pseudo=Bank(store))
    order_key = Key(5) / "batches" / "main" / "x"
    kept = fallen_back = 0
    partners = set()
    for step in range(80):
        crops = batches.batch(step)["x"]
        drawn = draw_cases(order_key, (*store.labeled, *store.unlabeled), 4 * step, 4)
        assert crops.target is not None
        for j in (0, 2):
            first, second = int(crops.case[j]), int(crops.case[j + 1])
            assert first == drawn[j]
            own = classes_of(store, first)
            if not own:
                assert second == drawn[j + 1]
                continue
            shared = own & classes_of(store, second)
            assert shared
            assert second != first
            if drawn[j + 1] != first and own & classes_of(store, drawn[j + 1]):
                assert second == drawn[j + 1]
                kept += 1
            else:
                fallen_back += 1
                partners.add((first, second))
            # both crops hold voxels of one class they share
            present = crops.target[j : j + 2].flatten(2).amax(2) > 0
            assert any(present[:, k - 1].all() for k in shared)
    assert kept > 20
    assert fallen_back > 20
    assert {(0, 1), (0, 7), (2, 7), (2, 8)} <= partners


def test_the_shared_class_is_drawn_among_all_shared() -> None:
    store = OneStore([corner_case("123"), corner_case("23")])
    crops = make(Stream("labeled", 200, target="label", where="shared_classes"), store).batch(0)["x"]
    assert crops.target is not None
    present = (crops.target.flatten(2).amax(2) > 0).reshape(100, 2, 3)
    assert torch.equal(present[:, 0], present[:, 1])
    assert (present.sum(2) == 1).all()
    counts = present[:, 0].sum(0).tolist()
    assert counts[0] == 0
    assert min(counts[1:]) > 30


def test_pairs_without_another_case() -> None:
    stream = Stream("labeled", 2, target="label", where="shared_classes")
    alone = make(stream, OneStore([corner_case("1"), corner_case("2")]))
    for step in range(4):
        crops = alone.batch(step)["x"]
        assert crops.case[0] == crops.case[1]
        assert crops.target is not None
        assert crops.target.flatten(1).any(1).all()
    empty = make(stream, OneStore([corner_case("1", annotated=(0, 1, 1)), corner_case("")])).batch(0)["x"]
    assert sorted(empty.case.tolist()) == [0, 1]
    assert make(stream, OneStore([corner_case("")])).batch(0)["x"].case.tolist() == [0, 0]
    # three cases: pairs reach over the end of an epoch, and still are two cases
    three = make(stream, OneStore([corner_case("1") for _ in range(3)]))
    for step in range(30):
        crops = three.batch(step)["x"]
        assert crops.case[0] != crops.case[1]


def test_shards_do_not_split_pairs() -> None:
    stream = Stream("labeled", 6, target="label", where="shared_classes")
    for ranks in (2, 3, 4):
        rows = [make(stream, shard=(rank, ranks)).rows("x") for rank in range(ranks)]
        assert [sample for r in rows for sample in r] == list(range(6))
        assert all(r.start % 2 == 0 and len(r) % 2 == 0 for r in rows)


def test_pseudo_targets_need_a_bank() -> None:
    for stream in (Stream("unlabeled", 2, target="pseudo"), Stream("all", 2, target="either")):
        with pytest.raises(SettingsError, match="stream 'x'.*pseudo-labels"):
            make(stream, pseudo=None)
    either = Stream("labeled", 4, target="either", where="foreground")  # needs none: all are labelled
    assert_same(make(either, pseudo=None).batch(0)["x"], make(replace(either, target="label")).batch(0)["x"])


@pytest.mark.parametrize(
    ("share", "cases"), [(1.0, {4, 5, 6, 7}), (0.75, {4, 5, 6}), (0.5, {5, 6}), (0.3, {5, 6}), (0.0, {5, 6})]
)
def test_a_stream_of_the_surest_cases_draws_those_whose_views_agreed_most(
    share: float, cases: set[int]
) -> None:
    batches = make(Stream("unlabeled", 2, target="pseudo", where="foreground", surest=share))
    assert {int(case) for step in range(8) for case in batches.batch(step)["x"].case} == cases


def test_pairs_are_made_of_two_cases_however_few_are_sure() -> None:
    batches = make(Stream("unlabeled", 2, target="pseudo", where="shared_classes", surest=0.0))
    assert {int(case) for step in range(4) for case in batches.batch(step)["x"].case} == {5, 6}


@settings(max_examples=60, deadline=None)
@given(
    agreed=st.lists(st.sampled_from((0.0, 0.3, 0.6, 0.9)), min_size=1, max_size=12),
    share=st.floats(0, 1),
    least=st.integers(1, 2),
)
def test_the_surest_are_none_less_sure_than_those_left_out(
    agreed: list[float], share: float, least: int
) -> None:
    cases = list(range(100, 100 + len(agreed)))
    found = surest_of(cases, share, lambda case: agreed[case - 100], least)
    assert list(found) == sorted(set(found))
    count = min(len(cases), max(least, math.ceil(share * len(cases))))
    least_sure = min(agreed[case - 100] for case in found)
    assert len(found) >= count > sum(agreed[case - 100] > least_sure for case in found)
    assert all(agreed[case - 100] < least_sure for case in cases if case not in found)


@pytest.mark.parametrize("surest", [-0.1, 1.1])
def test_a_share_of_the_surest_lies_in_0_to_1(surest: float) -> None:
    with pytest.raises(SettingsError, match=r"must lie in 0\.\.1"):
        make(Stream("unlabeled", 2, target="pseudo", surest=surest))


def test_only_pseudo_labels_are_more_or_less_sure() -> None:
    with pytest.raises(SettingsError, match="share of the pseudo-labelled cases"):
        make(Stream("labeled", 2, target="label", surest=0.5))
