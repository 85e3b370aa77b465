"""The sampler: purity, shards, targets, views."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from semivox.batches import Augmentation, Batches, Crops, Stream, prefetch
from semivox.errors import SettingsError
from semivox.losses.distance import signed_distance_maps
from semivox.randomness import Key

PLAIN = Augmentation(enabled=False)
WILD = Augmentation(elastic_probability=1.0, tilt_degrees=10.0)


@dataclass
class ArrayCase:
    """An in-memory stand-in for a stored case."""

    image: np.ndarray
    target: np.ndarray | None
    valid: np.ndarray | None = None
    foreground: dict[int, np.ndarray] = field(default_factory=dict)
    body: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    annotated: np.ndarray = field(default_factory=lambda: np.ones(2, np.float32))
    known: np.ndarray | None = None


class UntouchableCase(ArrayCase):
    """An unlabelled case: whoever reads its label fails."""

    def __getattribute__(self, name: str) -> object:
        assert name not in ("target", "foreground"), "the label of an unlabelled case was read"
        return super().__getattribute__(name)


class ArrayStore:
    def __init__(self, cases: list[ArrayCase], labeled: int) -> None:
        self.cases = cases
        self.labeled = tuple(range(labeled))
        self.unlabeled = tuple(range(labeled, len(cases)))
        self.patients = tuple(f"p{i}" for i in range(len(cases)))

    def case(self, index: int) -> ArrayCase:
        return self.cases[index]


def make_case(seed: int, shape: tuple[int, ...] = (26, 24, 18), channels: int = 1) -> ArrayCase:
    """Two soft blobs; the image is 2 in class 1 and 4 in class 2."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    fractions = []
    for k in range(2):
        centre = np.array([n * (0.35 + 0.3 * k) for n in shape]) + rng.uniform(-1, 1, len(shape))
        distance = np.sqrt(((grid - centre.reshape(-1, *[1] * len(shape))) ** 2).sum(0))
        fractions.append(np.clip(4.0 - distance, 0, 1))
    fractions[1] = np.minimum(fractions[1], 1 - fractions[0])
    image = np.stack([(2 * fractions[0] + 4 * fractions[1]) * (c + 1) for c in range(channels)])
    target = np.floor(np.stack(fractions) * 255).astype(np.uint8)  # sums stay below 255
    foreground = {k + 1: np.argwhere(target[k] > 127).astype(np.int32) for k in range(2)}
    body = np.argwhere(image[0] > 0.5).astype(np.int32)
    return ArrayCase(image.astype(np.float16), target, None, foreground, body, (1.0,) * len(shape))


def make_store(shape: tuple[int, ...] = (26, 24, 18), channels: int = 1) -> ArrayStore:
    cases = [make_case(i, shape, channels) for i in range(5)]
    hidden = [UntouchableCase(**make_case(i, shape, channels).__dict__) for i in range(5, 8)]
    return ArrayStore([*cases, *hidden], labeled=5)


STREAMS = {
    "l": Stream("labeled", 4, ("weak", "strong", "intensity"), "label", "foreground", sdm=True),
    "u": Stream("unlabeled", 2, ("weak", "strong"), where="body"),
}


def make_batches(augmentation: Augmentation = WILD, **changes: object) -> Batches:
    arguments: dict = {"store": make_store(), "streams": STREAMS, "patch": (16, 16, 12), "key": Key(3)}
    arguments |= {"stage": "main", "augmentation": augmentation, **changes}
    return Batches(**arguments)


def tensors(crops: Crops) -> dict[str, torch.Tensor]:
    named = {name: getattr(crops, name) for name in ("target", "valid", "annotated", "sdm", "case", "box")}
    return {k: v for k, v in {**named, **crops.views}.items() if v is not None}


def assert_same(a: dict[str, Crops], b: dict[str, Crops]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        ours, theirs = tensors(a[name]), tensors(b[name])
        assert ours.keys() == theirs.keys()
        for part in ours:
            assert torch.equal(ours[part], theirs[part]), (name, part)


def test_batch_is_a_pure_function_of_the_step() -> None:
    batches = make_batches()
    torch.manual_seed(0)
    np.random.seed(0)
    forward = [batches.batch(step) for step in range(3)]
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))
    assert np.random.rand() == np.random.RandomState(0).rand()
    again = pickle.loads(pickle.dumps(make_batches()))
    for step in (2, 0, 1):
        assert_same(forward[step], again.batch(step))
    assert not torch.equal(forward[0]["l"].views["weak"], forward[1]["l"].views["weak"])
    other_stage = make_batches(stage="second").batch(0)["l"].views["weak"]
    assert not torch.equal(forward[0]["l"].views["weak"], other_stage)


def test_streams_do_not_disturb_each_other() -> None:
    both = make_batches().batch(1)
    one = make_batches(streams={"u": STREAMS["u"]}).batch(1)
    assert_same({"u": both["u"]}, one)
    without = {"l": replace(STREAMS["l"], sdm=False, views=("weak",))}
    crops = make_batches(streams=without).batch(1)["l"]
    assert torch.equal(crops.views["weak"], both["l"].views["weak"])
    assert crops.target is not None
    assert torch.equal(crops.target, both["l"].target)


@pytest.mark.parametrize("ranks", [2, 3, 7])  # 7: more than there are crops, so that some make none
def test_shards_make_the_whole(ranks: int) -> None:
    whole = make_batches().batch(2)
    parts = [make_batches(shard=(rank, ranks)).batch(2) for rank in range(ranks)]
    assert any(len(part["l"].case) == 0 for part in parts) == (ranks == 7)
    for name in STREAMS:
        for part, value in tensors(whole[name]).items():
            joined = torch.cat([tensors(p[name])[part] for p in parts])
            assert torch.equal(joined, value), (name, part)


@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_types_and_ranges(dims: int) -> None:
    shape, patch = ((26, 24, 18), (16, 16, 12)) if dims == 3 else ((40, 36), (24, 16))
    batches = make_batches(store=make_store(shape, channels=3), patch=patch)
    for step in range(4):
        crops = batches.batch(step)["l"]
        assert {*crops.views} == {"weak", "strong", "intensity"}
        for view in crops.views.values():
            assert view.shape == (4, 3, *patch)
        for name, channels in (("target", 2), ("valid", 1), ("sdm", 2)):
            assert tensors(crops)[name].shape == (4, channels, *patch)
        for name, value in tensors(crops).items():
            assert value.dtype == (torch.int64 if name == "case" else torch.float32)
            assert torch.isfinite(value).all()
        assert crops.annotated.shape == (4, 2)
        assert crops.box.shape == (4, dims, 2)
        assert torch.equal(crops.box[..., 1] - crops.box[..., 0], torch.tensor(patch).float().expand(4, dims))
        assert crops.target is not None
        assert crops.sdm is not None
        assert crops.target.min() >= 0
        assert crops.target.sum(1).max() <= 1 + 1e-6
        assert crops.target.max() > 0.5
        assert crops.sdm.abs().max() <= 1
        assert set(crops.valid.unique().tolist()) <= {0.0, 1.0}


def test_plain_crops_are_the_stored_voxels() -> None:
    batches = make_batches(PLAIN)
    crops = batches.batch(0)["l"]
    for i in range(4):
        case = batches.store.case(int(crops.case[i]))
        box = tuple(slice(int(a), int(b)) for a, b in crops.box[i])
        image = case.image[(slice(None), *box)].astype(np.float32)
        for view in crops.views.values():
            np.testing.assert_array_equal(view[i].numpy(), image)
        assert case.target is not None
        fractions = case.target[(slice(None), *box)].astype(np.float32) / 255
        assert crops.target is not None
        np.testing.assert_allclose(crops.target[i].numpy(), fractions)
    assert (crops.valid == 1).all()


def test_views_share_geometry_and_differ_in_intensity() -> None:
    still = Augmentation(
        gamma=(1, 1), gain=(1, 1), offset=0, noise=0, strong_probability=0, elastic_probability=1.0
    )
    same = make_batches(still).batch(0)["l"].views
    assert torch.equal(same["weak"], same["strong"])
    assert torch.equal(same["weak"], same["intensity"])
    views = make_batches(replace(still, gain=(0.5, 1.5))).batch(0)["l"].views
    for i in range(4):
        # only a gain: each view is a multiple of the same sampled crop
        assert not torch.equal(views["weak"][i], views["intensity"][i])
        factor = views["weak"][i].max() / views["intensity"][i].max()
        torch.testing.assert_close(views["weak"][i], views["intensity"][i] * factor)
        factor = views["weak"][i].max() / same["weak"][i].max()
        torch.testing.assert_close(views["weak"][i], same["weak"][i] * factor)


def test_image_and_target_move_together() -> None:
    geometry_only = Augmentation(
        gamma=(1, 1),
        gain=(1, 1),
        offset=0,
        noise=0,
        strong_probability=0,
        elastic_probability=1,
        tilt_degrees=10,
    )
    crops = make_batches(geometry_only).batch(0)["l"]
    assert crops.target is not None
    from_target = 2 * crops.target[:, 0] + 4 * crops.target[:, 1]
    torch.testing.assert_close(crops.views["weak"][:, 0], from_target, atol=0.03, rtol=0)
    assert from_target.max() > 3


def test_labels_of_unlabelled_cases_are_not_read() -> None:
    batches = make_batches(streams={"u": STREAMS["u"], "a": Stream("all", 8)})
    crops = batches.batch(0)
    assert crops["u"].target is None
    assert crops["u"].sdm is None
    assert sorted(crops["a"].case.tolist()) == list(range(8))
    with pytest.raises(AssertionError, match="was read"):
        _ = batches.store.case(7).target


@pytest.mark.parametrize(
    "stream",
    [
        Stream("unlabeled", 2, target="label"),
        Stream("all", 2, where="foreground"),
        Stream("labeled", 2, sdm=True),
        Stream("labeled", 2, views=("weka",)),
        Stream("labeled", 2, target="label", sdm=True, exchange=0.5),
        Stream("labeled", 2, views=("weak", "recrop"), exchange=0.5),
        Stream("labeled", 2, exchange=1.5),
        Stream("labeled", 2, exchange=0.5, exchange_side=-0.1),
    ],
)
def test_impossible_streams_are_refused(stream: Stream) -> None:
    with pytest.raises(SettingsError, match="stream 'x'"):
        make_batches(streams={"x": stream})


def test_no_cases_are_refused() -> None:
    with pytest.raises(SettingsError, match="no unlabeled cases"):
        make_batches(store=ArrayStore([make_case(0)], 1))


def test_distances_equal_those_of_the_whole_scan() -> None:
    batches = make_batches(PLAIN, sdm_limit=5.0)
    crops = batches.batch(1)["l"]
    assert crops.sdm is not None
    for i in range(4):
        case = batches.store.case(int(crops.case[i]))
        assert case.target is not None
        whole = signed_distance_maps(case.target / np.float32(255), case.spacing, 5.0)
        box = tuple(slice(int(a), int(b)) for a, b in crops.box[i])
        np.testing.assert_allclose(crops.sdm[i].numpy(), whole[(slice(None), *box)], atol=1e-6)
    assert crops.sdm.min() < -0.2


def test_distances_follow_the_changed_label() -> None:
    crops = make_batches(sdm_form="crop_minmax").batch(0)["l"]
    exact = make_batches().batch(0)["l"]
    assert crops.target is not None
    assert crops.sdm is not None
    assert exact.sdm is not None
    for i in range(4):
        maps = signed_distance_maps(crops.target[i].numpy(), (1, 1, 1), 8.0, "crop_minmax")
        assert np.mean(maps != crops.sdm[i].numpy()) < 0.01
        clear = (crops.target[i] - 0.5).abs() > 1e-3
        assert torch.equal((exact.sdm[i] < 0)[clear], (crops.target[i] > 0.5)[clear])


def test_scans_smaller_than_the_patch_are_padded() -> None:
    shape, patch = (10, 30, 7), (16, 16, 12)
    cases = [make_case(i, shape) for i in range(3)]
    for case in cases:
        case.image += np.float16(3)
    plain = make_batches(PLAIN, store=ArrayStore(cases, 3), streams={"l": STREAMS["l"]}, patch=patch)
    crops = plain.batch(0)["l"]
    assert crops.target is not None
    assert (crops.box[:, 0, 0] == -3).all()
    assert (crops.valid.sum(dim=(1, 2, 3, 4)) == 10 * 16 * 7).all()
    outside = crops.valid == 0
    wild = make_batches(WILD, store=ArrayStore(cases, 3), streams={"l": STREAMS["l"]}, patch=patch).batch(0)[
        "l"
    ]
    for result in (crops, wild):
        for view in result.views.values():
            assert (view[(result.valid == 0).expand_as(view)] == 0).all()
            assert (view[(result.valid == 1).expand_as(view)] != 0).float().mean() > 0.99
    assert (crops.target[outside.expand_as(crops.target)] == 0).all()
    assert 0.3 < wild.valid.mean() / crops.valid.mean() < 1.4


def test_ignored_voxels_are_not_valid_but_keep_their_image() -> None:
    case = make_case(0)
    case.image[...] = 1
    case.valid = np.ones((1, *case.image.shape[1:]), np.uint8)
    case.valid[:, :13] = 0
    still = Augmentation(gamma=(1, 1), gain=(1, 1), offset=0, noise=0, flip_probability=0, scale=(1, 1))
    store = ArrayStore([case], 1)
    for augmentation in (PLAIN, still):
        batches = make_batches(augmentation, store=store, streams={"l": STREAMS["l"]}, patch=(26, 24, 18))
        crops = batches.batch(0)["l"]
        inner = (slice(None), 0, slice(8, 18), slice(8, 16), slice(6, 12))
        share = crops.valid[inner].mean()
        assert 0.4 < share < 0.6
        assert (crops.views["weak"][inner] > 0.99).all()
    assert (make_batches(PLAIN, store=store, streams={"l": STREAMS["l"]}, patch=(26, 24, 18))
            .batch(0)["l"].valid[:, 0].amax(dim=(2, 3)) == (torch.arange(26) >= 13)).all()  # fmt: skip


def test_prefetch_gives_the_same_batches_in_order() -> None:
    batches = make_batches()
    for depth in (0, 2):
        for step, batch in enumerate(prefetch(batches, 1, 4, depth), start=1):
            assert_same(batch, batches.batch(step))
        assert step == 3


def test_prefetch_raises_and_closes() -> None:
    import threading

    class Failing(Batches):
        def batch(self, step: int) -> dict[str, Crops]:
            if step == 2:
                raise OSError("disk gone")
            return super().batch(step)

    failing = Failing(make_store(), STREAMS, (16, 16, 12), Key(0), "main")
    seen: list[dict[str, Crops]] = []
    with pytest.raises(OSError, match="disk gone"):
        seen.extend(prefetch(failing, 0, 5))
    assert len(seen) == 2
    iterator = prefetch(make_batches(), 0, 1000)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "semivox-prefetch"]


def test_a_stream_may_name_the_form_of_its_distances() -> None:
    named = make_batches(streams={"l": replace(STREAMS["l"], sdm="crop_minmax")}).batch(0)["l"]
    of_the_run = make_batches(sdm_form="crop_minmax").batch(0)["l"]
    other = make_batches().batch(0)["l"]
    assert named.sdm is not None
    assert torch.equal(named.sdm, of_the_run.sdm)
    assert not torch.equal(named.sdm, other.sdm)
