"""The supervised loss against a slow loop from its formula, and the properties it must have."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import cross_entropy, dice_loss, full_fractions, segmentation, segmentation_loss

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def draw(classes: int, space: tuple[int, ...], seed: int = 0, batch: int = 3) -> Case:
    """Logits, soft target, valid, annotated in float64; everything annotated."""
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, classes, *space, generator=rng, dtype=torch.float64)
    target = torch.rand(batch, classes, *space, generator=rng, dtype=torch.float64).softmax(1)[:, 1:]
    valid = (torch.rand(batch, 1, *space, generator=rng) < 0.8).double()
    return logits, target, valid, torch.ones(batch, classes - 1, dtype=torch.float64)


def slow(logits: Tensor, target: Tensor, valid: Tensor, annotated: Tensor) -> tuple[float, float]:
    """(dice loss, cross-entropy), voxel by voxel."""
    batch, classes = logits.shape[:2]
    z, g, w = logits.flatten(2).tolist(), target.flatten(2).tolist(), valid.flatten(2).tolist()
    ce = voxels = 0.0
    sums = {c: [0.0, 0.0, 0] for c in range(1, classes)}
    for b in range(batch):
        known = [c for c in range(1, classes) if annotated[b, c - 1] == 1]
        for c in known:
            sums[c][2] += 1
        for v in range(len(w[b][0])):
            if w[b][0][v] == 0:
                continue
            e = [math.exp(z[b][c][v]) for c in range(classes)]
            p = {c: e[c] / sum(e) for c in known}
            f = {c: g[b][c - 1][v] for c in known}
            p[0], f[0] = 1 - sum(p.values()), 1 - sum(f.values())
            voxels += 1
            ce -= sum(f[c] * math.log(p[c]) for c in f)
            for c in known:
                sums[c][0] += 2 * p[c] * f[c]
                sums[c][1] += p[c] ** 2 + f[c] ** 2
    dice = [1 - (a + 1e-5) / (s + 1e-5) for a, s, samples in sums.values() if samples]
    return sum(dice) / len(dice), ce / voxels


SHAPES = [(2, (4, 3)), (2, (3, 2, 4)), (4, (3, 5)), (3, (2, 3, 2))]


@pytest.mark.parametrize(("classes", "space"), SHAPES)
@pytest.mark.parametrize("partly", [False, True])
def test_equals_the_loop(classes: int, space: tuple[int, ...], partly: bool) -> None:
    logits, target, valid, annotated = draw(classes, space)
    if partly:
        annotated[0, 0] = 0
        annotated[2, -1] = 0
    dice, ce = slow(logits, target, valid, annotated)
    assert dice_loss(logits, target, valid, annotated).item() == pytest.approx(dice, abs=1e-12)
    assert cross_entropy(logits, target, valid, annotated).item() == pytest.approx(ce, abs=1e-12)
    assert segmentation_loss(logits, target, valid, annotated).item() == pytest.approx(
        (dice + ce) / 2, abs=1e-12
    )


REGIONS = {
    "nested": [[1, 1, 1], [0, 1, 1], [0, 0, 1]],
    "overlapping": [[1, 0, 1], [0, 1, 1]],
    "the classes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "one twice": [[1, 1, 0], [1, 1, 0]],
}


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("unannotated", [None, 0, 2])
def test_dice_of_regions_is_that_of_their_sums(name: str, unannotated: int | None) -> None:
    """Region by region: as if it were the only class, in the samples that annotate all of it."""
    logits, target, valid, annotated = draw(4, (4, 3))
    if unannotated is not None:
        annotated[1, unannotated] = 0
    regions = torch.tensor(REGIONS[name], dtype=torch.float64)
    hidden = torch.cat([torch.zeros(3, 1), 1 - annotated], 1).bool()[:, :, None, None]
    probs = logits.softmax(1).masked_fill(hidden, 0)
    expected = []
    for row in REGIONS[name]:
        own = [k for k, member in enumerate(row) if member]
        rows = [b for b in range(3) if annotated[b, own].all()]
        p = probs[rows][:, [k + 1 for k in own]].sum(1, keepdim=True)
        alone = torch.cat([1 - p, p], 1).log(), target[rows][:, own].sum(1, keepdim=True)
        expected.append(dice_loss(*alone, valid[rows], torch.ones(len(rows), 1)))
    found = dice_loss(logits, target, valid, annotated, regions)
    torch.testing.assert_close(found, torch.stack(expected).mean())
    both = segmentation_loss(logits, target, valid, annotated, regions)
    torch.testing.assert_close(both, (found + cross_entropy(logits, target, valid, annotated)) / 2)
    if name == "the classes":
        torch.testing.assert_close(found, dice_loss(logits, target, valid, annotated))


def test_cross_entropy_of_hard_labels_is_torchs() -> None:
    logits, _, _, annotated = draw(4, (5, 4))
    label = torch.randint(0, 4, (3, 5, 4), generator=torch.Generator().manual_seed(1))
    one_hot = torch.nn.functional.one_hot(label, 4).movedim(-1, 1).double()
    ours = cross_entropy(logits, one_hot[:, 1:], torch.ones_like(one_hot[:, :1]), annotated)
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits, label))


def test_perfect_and_disjoint_dice() -> None:
    target = torch.zeros(1, 1, 6, 6)
    target[..., :3] = 1
    ones = torch.ones(1, 1)
    sure = torch.cat([-60 * (2 * target - 1), 60 * (2 * target - 1)], 1)
    valid = torch.ones_like(target)
    assert dice_loss(sure, target, valid, ones).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(-sure, target, valid, ones).item() == pytest.approx(1, abs=1e-6)


def test_painting_an_unannotated_organ_into_the_background_changes_nothing() -> None:
    logits, target, valid, annotated = draw(4, (4, 3, 2))
    annotated[1, 2] = 0
    painted = target.clone()
    painted[1, 2] = 0
    # Nor does it matter how the network splits one mass between the background and that organ.
    moved = logits.clone()
    moved[1, [0, 3]] = moved[1, [3, 0]]
    loss = segmentation_loss(logits, target, valid, annotated)
    torch.testing.assert_close(segmentation_loss(logits, painted, valid, annotated), loss, rtol=0, atol=0)
    torch.testing.assert_close(segmentation_loss(moved, target, valid, annotated), loss)
    everything = torch.ones_like(annotated)
    assert not torch.isclose(segmentation_loss(moved, target, valid, everything), loss)


def test_a_class_that_no_sample_annotates_is_left_out_of_the_mean() -> None:
    logits, target, valid, annotated = draw(4, (4, 3))
    annotated[:, 1] = 0
    assert dice_loss(logits, target, valid, annotated).item() == pytest.approx(
        slow(logits, target, valid, annotated)[0], abs=1e-12
    )


def test_the_merged_background_is_exact_far_out() -> None:
    # Background and the hidden class at e^-200 each, beside one certain known class.
    logits = torch.tensor([-100.0, 100.0, -100.0]).reshape(1, 3, 1, 1)
    nothing, one = torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, 1)
    loss = cross_entropy(logits, nothing, one, torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(200 - math.log(2), rel=1e-6)


def test_full_fractions() -> None:
    over = torch.tensor([0.75, 0.5]).reshape(1, 2, 1, 1)  # rounding may bring a sum over 1
    assert full_fractions(over, torch.ones(1, 2)).flatten().tolist() == [0.0, 0.75, 0.5]
    target = torch.tensor([[0.25, 0.5], [0.25, 0.5]]).reshape(2, 2, 1, 1)
    annotated = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert full_fractions(target, annotated).flatten(1).tolist() == [[0.25, 0.25, 0.5], [0.75, 0.25, 0.0]]


def test_invalid_voxels_do_not_count() -> None:
    logits, target, valid, annotated = draw(3, (4, 5))
    loss = segmentation_loss(logits, target, valid, annotated)
    other = torch.where(valid > 0, logits, -logits + 3)
    flipped = torch.where(valid > 0, target, target.flip(1))
    torch.testing.assert_close(segmentation_loss(other, flipped, valid, annotated), loss)


def test_the_order_of_the_batch_does_not_matter() -> None:
    case = draw(3, (4, 5))
    case[3][0, 1] = 0
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(segmentation_loss(*(x[order] for x in case)), segmentation_loss(*case))


@pytest.mark.parametrize("what", ["valid", "annotated"])
def test_nothing_to_compare_is_zero_with_zero_gradient(what: str) -> None:
    logits, target, valid, annotated = draw(3, (4, 5))
    logits.requires_grad_()
    if what == "valid":
        loss = segmentation_loss(logits, target, 0 * valid, annotated)
    else:
        loss = dice_loss(logits, target, valid, 0 * annotated)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max().item() == 0


@pytest.mark.parametrize("partly", [False, True])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_logits_stay_finite(partly: bool, size: float) -> None:
    logits, target, valid, annotated = (x.float() for x in draw(3, (4, 5)))
    if partly:
        annotated[0] = 0
        annotated[1, 0] = 0
    logits = (size * logits.sign()).requires_grad_()
    loss = segmentation_loss(logits, target, valid, annotated)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("partly", [False, True])
def test_gradient(partly: bool) -> None:
    logits, target, valid, annotated = draw(3, (2, 3), batch=2)
    if partly:
        annotated[0, 1] = 0
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: segmentation_loss(z, target, valid, annotated), logits)


def test_an_unannotated_class_gets_no_foreground_gradient_of_its_own() -> None:
    logits, target, valid, annotated = draw(3, (4, 4), batch=1)
    annotated[0, 1] = 0
    logits.requires_grad_()
    segmentation_loss(logits, target, valid, annotated).backward()
    assert logits.grad is not None
    # Background and the hidden class share one probability, so their gradients are in ratio of their softmax.
    p = logits.detach().softmax(1)
    torch.testing.assert_close(logits.grad[:, 0] * p[:, 2], logits.grad[:, 2] * p[:, 0])


def test_autocast_changes_nothing() -> None:
    case = tuple(x.float() for x in draw(3, (8, 8, 4)))
    expected = segmentation_loss(*case)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = segmentation_loss(*case)
        low = segmentation_loss(case[0].bfloat16(), *case[1:])
    assert inside.dtype == low.dtype == torch.float32
    assert inside.item() == pytest.approx(segmentation_loss(*draw(3, (8, 8, 4))).item(), rel=1e-6)
    torch.testing.assert_close(inside, expected, rtol=0, atol=0)
    torch.testing.assert_close(low, segmentation_loss(case[0].bfloat16().float(), *case[1:]), rtol=0, atol=0)


def test_float64_stays_float64() -> None:
    assert segmentation_loss(*draw(2, (3, 3))).dtype == torch.float64


def test_memory_format_changes_nothing() -> None:
    case = draw(3, (4, 5, 3))
    other = case[0].to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(segmentation_loss(other, *case[1:]), segmentation_loss(*case), rtol=0, atol=0)


def test_wrong_shapes_are_refused() -> None:
    logits, target, valid, annotated = draw(3, (4, 5))
    for wrong in [
        (target[:, :1], valid, annotated),
        (target, valid[:, 0], annotated),
        (target, valid, annotated[:, :1]),
    ]:
        with pytest.raises(ValueError, match="expected"):
            segmentation_loss(logits, *wrong)


def test_the_general_way_equals_the_short_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is not asked whether all is annotated; where it is, nothing may change."""
    logits, target, valid, annotated = (x.float() for x in draw(3, (6, 5, 4)))
    logits.requires_grad_(True)
    found = []
    for shortcut in (True, False):
        monkeypatch.setattr(segmentation, "_all_annotated", lambda a, answer=shortcut: answer)
        loss = segmentation_loss(logits, target, valid, annotated)
        found.append((loss.detach(), torch.autograd.grad(loss, logits)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-9)
