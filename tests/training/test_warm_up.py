"""The labelled-only beginning of the common recipe, on every method of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from semivox.methods.catalog import CATALOG, load_method
from semivox.methods.declare import At, Facts, Stage
from semivox.randomness import Key
from semivox.testing.synthetic import build, tiny_facts, tiny_plan
from semivox.training.config import resolve
from semivox.training.stages import schedule_spans, stages_of

FACTS = replace(tiny_facts(tiny_plan()), warm_up=0.5)
WITHOUT = ("supervised", "local_contrast")


def stages(name: str, facts: Facts = FACTS) -> list[Stage]:
    return stages_of(build(load_method(name), facts), facts)


@pytest.mark.parametrize("name", [name for name in CATALOG if name not in WITHOUT])
def test_half_of_the_run_passes_before_unlabelled_crops_are_drawn(name: str) -> None:
    alone = 0.0
    for one in stages(name):
        if any(stream.cases != "labeled" for stream in one.streams.values()):
            break
        alone += one.share
        assert sum(stream.size for stream in one.streams.values()) >= sum(FACTS.batch)
    assert alone == pytest.approx(max(0.5, alone))
    assert sum(one.share for one in stages(name)) == pytest.approx(1.0)


@pytest.mark.parametrize("name", WITHOUT)
def test_no_warm_up_without_unlabelled_crops_or_before_a_pretraining(name: str) -> None:
    assert [s.name for s in stages(name)] == [s.name for s in stages(name, tiny_facts(tiny_plan()))]


def test_a_beginning_of_the_methods_own_counts() -> None:
    first, second, third = stages("bcp")
    assert (first.name, second.name, third.name) == ("warm_up", "pretrain", "self_train")
    assert first.share + second.share == pytest.approx(0.5)
    own = build(load_method("bcp"), FACTS).stages(FACTS)
    assert second.share / third.share == pytest.approx(own[0].share / own[1].share)


@pytest.mark.parametrize(
    ("name", "share"), [("self_training", "alone"), ("atso", "pretrain"), ("pseudo_contrast", "pretrain")]
)
@pytest.mark.parametrize("nearly", [1 - 1e-9, 1 - 2**-53])
def test_a_beginning_of_nearly_the_whole_run_leaves_the_stages_as_they_are(
    name: str, share: str, nearly: float
) -> None:
    method = build(load_method(name), FACTS, {share: nearly})
    assert [one.name for one in stages_of(method, FACTS)] == [one.name for one in method.stages(FACTS)]


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("steps", [300, 1200, 4000, 20000])
def test_the_networks_move_as_in_the_methods_own_beginning(name: str, steps: int) -> None:
    """Not by an optimizer that is meant for later, nor by other crops than those it begins with."""
    facts = replace(FACTS, steps=steps)
    own, ones = build(load_method(name), facts).stages(facts)[0], stages(name, facts)
    assert [p.optimizer for p in ones[0].players[:1]] == [p.optimizer for p in own.players[:1]]
    if name == "self_training":
        assert [one.name for one in ones][:2] == ["labeled", "round1"]
        short = stages_of(build(load_method(name), facts, {"alone": 0.3}), facts)
        assert (short[0].name, short[0].players[0].optimizer) == ("warm_up", None)
        assert short[0].streams["labeled"].exchange == own.streams["labeled"].exchange > 0


@pytest.mark.parametrize(
    ("name", "networks"),
    [("mean_teacher", {"student"}), ("cps", {"student", "second"}), ("simcvd", {"student"})],
)
def test_every_network_learns_and_nothing_else(name: str, networks: set[str]) -> None:
    method = build(load_method(name), FACTS)
    first = stages_of(method, FACTS)[0]
    assert {m for player in first.players for m in player.modules} == networks
    assert {pair.student for pair in first.pairs} == networks


def test_the_two_networks_of_duo_segnet_keep_to_their_own_labels() -> None:
    method = build(load_method("duo_segnet"), FACTS)
    first = stages_of(method, FACTS)[0]
    assert [s.part for s in first.streams.values()] == [(0, 2), (1, 2)]
    for pair in first.pairs:
        getattr(method, pair.teacher).requires_grad_(False)
    batch = {
        name: replace(_crops(method, i), case=torch.tensor([i, i])) for i, name in enumerate(first.streams)
    }
    terms = method.warm_up(batch, At("warm_up", 0, 0.0, 0.0, Key(0)))
    assert list(terms) == ["segmentation", "segmentation_second"]
    for i, (term, role) in enumerate(zip(terms.values(), ("student", "second"), strict=True)):
        own, other = getattr(method, role), getattr(method, ("second", "student")[i])
        assert term.value.requires_grad
        [gradient] = torch.autograd.grad(term.value, [own.head.weight], retain_graph=True)
        assert gradient.abs().sum() > 0
        unreached = torch.autograd.grad(term.value, [other.head.weight], allow_unused=True, retain_graph=True)
        assert unreached == (None,)


def _crops(method: torch.nn.Module, seed: int):  # type: ignore[no-untyped-def]
    from semivox.batches import Crops

    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 1, 16, 16, 8, generator=generator)
    target = torch.zeros(2, 2, 16, 16, 8)
    target[:, 0, :8], target[:, 1, 8:] = 1, 1
    return Crops(
        {"weak": x},
        target,
        torch.ones(2, 1, 16, 16, 8),
        torch.ones(2, 2),
        None,
        torch.zeros(2),
        torch.zeros(2),
    )


def test_the_paper_recipe_has_none(tmp_path: Path) -> None:
    common, _ = resolve(tmp_path, {"method": "mean_teacher"})
    paper, _ = resolve(tmp_path, {"method": "mean_teacher", "recipe": "paper"})
    assert (common.run.warm_up, paper.run.warm_up) == (0.5, 0.0)


@pytest.mark.parametrize("name", CATALOG)
def test_unlabelled_crops_come_on_top_of_a_whole_dose_of_labels(name: str) -> None:
    facts = replace(FACTS, keep_labeled=True)
    for one in stages(name, facts):
        dose = sum(s.size for s in one.streams.values() if s.cases == "labeled" and s.target == "label")
        pretraining = name == "local_contrast" and one.name != "finetune"
        assert pretraining or dose >= facts.alone


@pytest.mark.parametrize("name", CATALOG)
def test_one_schedule_spans_what_moves_by_one_optimizer(name: str) -> None:
    facts = replace(FACTS, restarts=False)
    ones = stages(name, facts)
    spans = schedule_spans(ones, facts.steps)
    for before, one, (begun, _), (begin, _end) in zip(ones, ones[1:], spans, spans[1:], strict=False):
        asked = [p.optimizer for p in before.players[:1]] != [p.optimizer for p in one.players[:1]]
        assert (begin != begun) == asked, one.name
    assert spans[-1][1] == facts.steps
    if name in ("atso", "bcp", "pseudo_contrast"):
        assert set(spans) == {(0, facts.steps)}
        again = schedule_spans(stages(name), facts.steps)
        assert len(set(again)) > 1
    if name in ("self_training", "local_contrast"):  # a second rate, and optimizers of its own
        assert len(set(spans)) > 1


def test_weights_that_begin_anew_begin_a_schedule() -> None:
    facts = replace(FACTS, restarts=False)
    atso = stages_of(build(load_method("atso"), facts, {"start": "scratch"}), facts)
    assert not any(one.continues for one in atso if one.relabel is not None)
