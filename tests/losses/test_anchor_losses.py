"""The blockwise core: it equals matrices in one piece, streams, and asks the device for nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from semivox.losses import Form, class_contrast, info_nce, same_voxel_contrast, unit, voxel_contrast
from semivox.losses.anchor_losses import BLOCK

FORMS: tuple[Form, ...] = ("out", "in", "pair", "ratio")


def draw(n: int = 11, m: int = 13, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Anchors, keys, their classes and their cases; class 9 has no positive, class 7 no negative."""
    rng = torch.Generator().manual_seed(1)
    anchors = torch.randn(n, 4, generator=rng, dtype=dtype, requires_grad=True)
    keys = torch.randn(m, 4, generator=rng, dtype=dtype, requires_grad=True)
    y_a, y_k = torch.randint(0, 3, (n,), generator=rng), torch.randint(0, 3, (m,), generator=rng)
    case_a, case_k = torch.randint(0, 5, (n,), generator=rng), torch.randint(0, 5, (m,), generator=rng)
    y_a[0] = 9
    return anchors, keys, y_a, y_k, case_a, case_k


def pairs_of(y_a: Tensor, y_k: Tensor, case_a: Tensor, case_k: Tensor) -> Callable[..., Any]:
    def pairs(a: slice, k: slice) -> tuple[Tensor, Tensor]:
        positives, exclude = y_a[a, None] == y_k[k], case_a[a, None] == case_k[k]
        return positives | (y_a[a, None] == 7), exclude

    return pairs


def in_one_piece(anchors: Tensor, keys: Tensor, form: Form, ids: tuple[Tensor, ...], tau: float) -> Tensor:
    """The formulas on whole matrices, differentiated by autograd; every anchor has a negative."""
    s = unit(anchors) @ unit(keys).T / tau
    positives, exclude = pairs_of(*ids)(slice(None), slice(None))
    positives = positives & ~exclude
    negatives = ~positives & ~exclude
    losses = []
    for row, p, n in zip(s, positives, negatives, strict=True):
        if not p.any():
            continue
        everyone, own, others = (row[which].logsumexp(0) for which in (p | n, p, n))
        losses.append(
            {
                "out": lambda row=row, p=p, e=everyone: (e - row[p]).mean(),
                "in": lambda p=p, e=everyone, o=own: e - o + math.log(int(p.sum())),
                "pair": lambda row=row, p=p, n=others: (torch.logaddexp(row[p], n) - row[p]).mean(),
                "ratio": lambda p=p, n=others, o=own: (n - o) / int(p.sum()),
            }[form]()
        )
    return torch.stack(losses).mean()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tau", [0.01, 0.3])
@pytest.mark.parametrize("chunk", [None, 1, 4, 50])
def test_blocks_equal_one_piece(form: Form, tau: float, chunk: int | None) -> None:
    anchors, keys, *ids = draw()
    found = info_nce(anchors, keys, pairs_of(*ids), temperature=tau, form=form, chunk=chunk)
    expected = in_one_piece(anchors, keys, form, tuple(ids), tau)
    torch.testing.assert_close(found, expected)
    inputs = (anchors, keys)
    torch.testing.assert_close(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_through_blocks(form: Form) -> None:
    anchors, keys, y_a, *ids = draw(6, 7)
    y_a[1] = 7  # all keys that are not excluded are its positives

    def loss(a: Tensor, k: Tensor) -> Tensor:
        return info_nce(a, k, pairs_of(y_a, *ids), temperature=0.2, form=form, chunk=3, normalise=False)

    assert torch.autograd.gradcheck(loss, (anchors, keys))
    both = loss(anchors, keys)
    (alone,) = torch.autograd.grad(loss(anchors, keys.detach()), anchors)
    torch.testing.assert_close(alone, torch.autograd.grad(both, anchors)[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_function_is_the_same_as_matrices_and_exclusion_wins(form: Form) -> None:
    anchors, keys, *ids = draw()
    pairs = pairs_of(*ids)
    positives, exclude = pairs(slice(None), slice(None))
    assert bool((positives & exclude).any())
    told = info_nce(anchors, keys, pairs, temperature=0.1, form=form)
    for given in (positives, positives & ~exclude, positives | exclude):
        matrices = info_nce(anchors, keys, given, exclude=exclude, temperature=0.1, form=form)
        torch.testing.assert_close(matrices, told)
    with pytest.raises(ValueError, match="leave out exclude"):
        info_nce(anchors, keys, pairs, temperature=0.1, exclude=exclude)


@pytest.mark.parametrize("form", FORMS)
def test_huge_similarities_lose_nothing(form: Form) -> None:
    anchors, keys, *ids = draw()
    single = [(300 * x.detach()).float().requires_grad_() for x in (anchors, keys)]
    double = [x.detach().double().requires_grad_() for x in single]
    values, gradients = [], []
    for inputs in (single, double):
        loss = info_nce(*inputs, pairs_of(*ids), temperature=0.01, form=form, normalise=False, chunk=4)
        values.append(loss.double())
        gradients.append([g.double() for g in torch.autograd.grad(loss, inputs)])
    assert values[1].abs() > 1e5  # exp of it is far beyond float64
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=0)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize("form", FORMS)
def test_backward_under_autocast_is_in_full_precision(form: Form) -> None:
    anchors, keys, *ids = draw(dtype=torch.float32)
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = info_nce(anchors, keys, pairs_of(*ids), temperature=0.1, form=form)
            found.append((loss, *torch.autograd.grad(loss, (anchors, keys))))
    for plain, inside in zip(*found, strict=True):
        assert plain.equal(inside)


def voxels(crops: int, n: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    z_s, z_t = (torch.randn(crops, n, 8, generator=rng, requires_grad=True) for _ in range(2))
    return z_s, z_t


def of_same_voxels(z_s: Tensor, z_t: Tensor) -> Tensor:
    case, present = torch.arange(len(z_s)) // 2, torch.ones(z_s.shape[:2], dtype=torch.bool)
    return same_voxel_contrast(z_s, z_t, present, case, temperature=0.1)


def of_classes(z_s: Tensor, z_t: Tensor) -> Tensor:
    rows, keys = z_s.flatten(0, 1), z_t.flatten(0, 1)
    label = torch.arange(len(rows)) % 5
    memory = [(keys.detach(), label, label)]
    present = torch.ones_like(label, dtype=torch.bool)
    return class_contrast(rows, keys, label, present, case=label // 2, memory=memory)


def of_pools(z_s: Tensor, z_t: Tensor) -> Tensor:
    pools = torch.stack([z_s.flatten(0, 1), z_t.flatten(0, 1)]).movedim(2, 1)[None]  # (1, 2, D, n)
    labels = torch.arange(pools.shape[-1]).expand(1, 2, -1) % 4 - 1
    rank = torch.arange(pools.shape[-1]).expand(1, 2, -1) / pools.shape[-1]
    return voxel_contrast(pools, labels, rank, temperature=0.1, background_negatives=False)


CALLERS = (of_same_voxels, of_classes, of_pools)


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, list | tuple) else [result]:
            if isinstance(x, Tensor):
                self.numbers = max(self.numbers, x.untyped_storage().nbytes() // x.element_size())
        return result


@pytest.mark.parametrize("contrast", CALLERS)
def test_nothing_grows_with_the_square(
    contrast: Callable[[Tensor, Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BLOCK, "cpu", (64, 128))
    largest = []
    for n in (128, 256):
        with Largest() as mode:
            contrast(*voxels(2, n)).backward()
        largest.append(mode.numbers)
    assert largest[1] <= 2 * largest[0]
    assert largest[1] < (2 * 256) ** 2 / 16


@pytest.mark.parametrize("form", FORMS)
def test_no_block_waits_for_the_device(form: Form) -> None:
    with FakeTensorMode():  # tensors without content: whatever asks for a value of one raises
        anchors, keys = torch.randn(9, 4, requires_grad=True), torch.randn(8, 4, requires_grad=True)
        y_a, y_k = torch.zeros(9, dtype=torch.int64), torch.zeros(8, dtype=torch.int64)
        weights = torch.ones(9)
        loss = info_nce(
            anchors, keys, pairs_of(y_a, y_k, y_a, y_k), temperature=0.1, form=form, chunk=4,
            anchor_weights=weights,
        )  # fmt: skip
        loss.backward()
        with pytest.raises(DataDependentOutputException):
            loss.item()


@pytest.mark.parametrize("contrast", CALLERS)
def test_no_contrast_waits_for_the_device(contrast: Callable[[Tensor, Tensor], Tensor]) -> None:
    with FakeTensorMode():
        z_s, z_t = (torch.randn(2, 6, 4, requires_grad=True) for _ in range(2))
        contrast(z_s, z_t).backward()
        assert z_s.grad is not None
