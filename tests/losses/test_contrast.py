"""InfoNCE in its four forms against loops from the formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import Form, info_nce, paired_info_nce, unit

FORMS: tuple[Form, ...] = ("out", "in", "pair", "ratio")


def slow(
    anchors: Tensor,
    keys: Tensor,
    positives: Tensor,
    exclude: Tensor,
    temperature: float,
    form: str,
    weights: Tensor | None = None,
) -> float:
    values, total = 0.0, 0.0
    for i, a in enumerate(anchors):
        s = [(a @ k / (a.norm() * k.norm())).item() / temperature for k in keys]
        everyone = [j for j in range(len(keys)) if not exclude[i, j]]
        own = [j for j in everyone if positives[i, j]]
        others = [math.exp(s[j]) for j in everyone if not positives[i, j]]
        if not own:
            continue
        all_sum, own_sum = sum(math.exp(s[j]) for j in everyone), sum(math.exp(s[j]) for j in own)
        value = {
            "out": lambda own, s=s, z=all_sum: -sum(math.log(math.exp(s[p]) / z) for p in own) / len(own),
            "in": lambda own, z=all_sum, y=own_sum: -math.log(y / len(own) / z),
            "pair": lambda own, s=s, o=others: (
                -sum(math.log(math.exp(s[p]) / (math.exp(s[p]) + sum(o))) for p in own) / len(own)
            ),
            "ratio": lambda own, y=own_sum, o=others: -math.log(y / sum(o)) / len(own) if o else 0.0,
        }[form](own)
        weight = 1.0 if weights is None else weights[i].item()
        values, total = values + weight * value, total + weight
    return values / total


def draw(n: int = 7, m: int = 9, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    anchors = torch.randn(n, 5, generator=rng, dtype=torch.float64)
    keys = torch.randn(m, 5, generator=rng, dtype=torch.float64)
    label_a, label_k = torch.randint(0, 3, (n,), generator=rng), torch.randint(0, 3, (m,), generator=rng)
    label_a[0] = 7  # an anchor without positives
    exclude = torch.rand(n, m, generator=rng) < 0.2
    positives = label_a[:, None] == label_k
    positives[1] = True  # an anchor without negatives
    return anchors, keys, positives, exclude


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equals_the_loop(form: Form, temperature: float) -> None:
    anchors, keys, positives, exclude = draw()
    weights = torch.linspace(0, 2, len(anchors), dtype=torch.float64)
    for kwargs in ({}, {"anchor_weights": weights}):
        ours = info_nce(
            anchors, keys, positives, temperature=temperature, form=form, exclude=exclude, **kwargs
        )
        expected = slow(anchors, keys, positives, exclude, temperature, form, kwargs.get("anchor_weights"))
        assert ours.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_and_chunks(form: Form) -> None:
    anchors, keys, positives, exclude = draw()
    anchors.requires_grad_()
    keys.requires_grad_()

    def loss(a: Tensor, k: Tensor, chunk: int | None = None) -> Tensor:
        return info_nce(a, k, positives, temperature=0.5, form=form, exclude=exclude, chunk=chunk)

    assert torch.autograd.gradcheck(loss, (anchors, keys))
    whole = torch.autograd.grad(loss(anchors, keys), (anchors, keys))
    chunked = torch.autograd.grad(loss(anchors, keys, 3), (anchors, keys))
    torch.testing.assert_close(loss(anchors, keys, 3), loss(anchors, keys))
    torch.testing.assert_close(chunked, whole)


def test_the_forms_agree_on_one_positive() -> None:
    anchors, keys, _, _ = draw(6, 6)
    values = [
        info_nce(anchors, keys, torch.eye(6, dtype=torch.bool), temperature=0.3, form=form)
        for form in ("out", "in", "pair")
    ]
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(values[2], values[0])


def test_self_supervised_pairs_are_nt_xent() -> None:
    # SimCLR's loss written with torch's cross-entropy over 2n views, self left out.
    z = torch.randn(10, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    other = torch.arange(10).roll(5)
    self_pairs = torch.eye(10, dtype=torch.bool)
    cosine = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=2) / 0.5
    expected = torch.nn.functional.cross_entropy(cosine.masked_fill(self_pairs, -math.inf), other)
    positives = torch.zeros(10, 10, dtype=torch.bool)
    positives[torch.arange(10), other] = True
    torch.testing.assert_close(info_nce(z, z, positives, temperature=0.5, exclude=self_pairs), expected)


@pytest.mark.parametrize("form", FORMS)
def test_order_and_scale_do_not_matter(form: Form) -> None:
    anchors, keys, positives, exclude = draw()
    loss = info_nce(anchors, keys, positives, temperature=0.2, form=form, exclude=exclude)
    rows, columns = torch.randperm(len(anchors)), torch.randperm(len(keys))
    shuffled = info_nce(
        3 * anchors[rows],
        keys[columns] / 7,
        positives[rows][:, columns],
        temperature=0.2,
        form=form,
        exclude=exclude[rows][:, columns],
    )
    torch.testing.assert_close(shuffled, loss)


@pytest.mark.parametrize("form", FORMS)
def test_temperature_divides_the_similarity(form: Form) -> None:
    anchors, keys, positives, _ = draw()
    anchors, keys = unit(anchors), unit(keys)
    a = info_nce(anchors, keys, positives, temperature=0.25, form=form, normalise=False)
    b = info_nce(4 * anchors, keys, positives, temperature=1.0, form=form, normalise=False)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ["no positives", "no negatives", "all excluded", "no anchors", "no keys"])
def test_empty_sets(form: Form, case: str) -> None:
    anchors, keys = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    a, k = (anchors[:0] if case == "no anchors" else anchors), (keys[:0] if case == "no keys" else keys)
    positives = torch.full((len(a), len(k)), case != "no positives")
    exclude = torch.full_like(positives, case == "all excluded")
    loss = info_nce(a, k, positives, temperature=0.1, form=form, exclude=exclude)
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        loss.backward()
    assert anchors.grad is not None
    assert keys.grad is not None
    assert anchors.grad.isfinite().all()
    assert keys.grad.isfinite().all()
    if case != "no negatives":
        assert loss.item() == 0
        assert anchors.grad.abs().sum() == keys.grad.abs().sum() == 0
    elif form in ("pair", "ratio"):
        assert loss.item() == 0
    else:
        assert math.isfinite(loss.item())


@pytest.mark.parametrize("form", FORMS)
def test_extreme_similarities_and_zero_vectors_stay_finite(form: Form) -> None:
    anchors, keys, positives, exclude = (x.float() if x.dtype.is_floating_point else x for x in draw())
    anchors[2] = 0
    anchors.requires_grad_()
    loss = info_nce(anchors, keys, positives, temperature=1e-4, form=form, exclude=exclude)
    loss.backward()
    assert loss.isfinite()
    assert anchors.grad is not None
    assert anchors.grad.isfinite().all()
    assert anchors.grad[2].abs().max() == 0


def test_autocast_changes_nothing() -> None:
    anchors, keys, positives, _ = (x.float() if x.dtype.is_floating_point else x for x in draw())
    expected = info_nce(anchors, keys, positives, temperature=0.1)
    expected_pairs = paired_info_nce(anchors[None], keys[None, :7], temperature=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert info_nce(anchors, keys, positives, temperature=0.1).equal(expected)
        assert paired_info_nce(anchors[None], keys[None, :7], temperature=0.1).equal(expected_pairs)


@pytest.mark.parametrize("excluded", [False, True])
def test_the_paired_path_is_info_nce_group_by_group(excluded: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    anchors, keys = (torch.randn(3, 6, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(3, 6, 6, generator=rng) < 0.3 if excluded else None
    own = torch.eye(6, dtype=torch.bool)
    expected = torch.stack(
        [
            info_nce(a, k, own, temperature=0.2, exclude=None if mask is None else mask[g] & ~own)
            for g, (a, k) in enumerate(zip(anchors, keys, strict=True))
        ]
    ).mean()
    torch.testing.assert_close(paired_info_nce(anchors, keys, temperature=0.2, exclude=mask), expected)
    anchors.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a: paired_info_nce(a, keys, temperature=0.2, exclude=mask), anchors
    )


def test_wrong_arguments_are_refused() -> None:
    anchors, keys, positives, _ = draw()
    with pytest.raises(ValueError, match="form"):
        info_nce(anchors, keys, positives, temperature=0.1, form="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be"):
        info_nce(anchors, keys, positives.T, temperature=0.1)
    with pytest.raises(ValueError, match="must both be"):
        paired_info_nce(anchors, anchors, temperature=0.1)
