"""What each term of every method trains, and which setting drops it. All else that holds for every method is
checked by `semivox.testing`, on all of them, in tests/testing."""

from __future__ import annotations

from typing import Any

import pytest

from semivox.methods.catalog import CATALOG, load_method
from semivox.testing.steps import check_switches, reached
from semivox.testing.synthetic import random_batch, tiny, tiny_at

UNTRAINED: dict[str, dict[str, Any]] = {
    "self_ensembling": {"threshold": 0.0},
    "ua_mt": {"limit": "classes"},
}
"""Settings without which a method finds nothing to learn from a network that knows nothing yet."""


REACH = {
    "supervised": {"segmentation": {"student"}},
    "self_training": {"segmentation": {"student"}, "pseudo": {"student"}},
    "mean_teacher": {"segmentation": {"student"}, "consistency": {"student"}},
    "ua_mt": {"segmentation": {"student"}, "consistency": {"student"}},
    "entropy_min": {"segmentation": {"student"}, "entropy": {"student"}},
    "cps": {
        "segmentation": {"student"},
        "segmentation_second": {"second"},
        "cross": {"student"},
        "cross_second": {"second"},
    },
    "dtc": {"segmentation": {"student"}, "distance": {"student"}, "consistency": {"student"}},
    "urpc": {"segmentation": {"student"}, "consistency": {"student"}},
    "bcp": {"segmentation": {"student"}, "pseudo": {"student"}},
    "simcvd": {
        "segmentation": {"student"},
        "distance": {"student"},
        "contrast": {"student", "projection"},
        "distillation": {"student"},
        "consistency": {"student"},
    },
    "cvrl": {
        "segmentation": {"student"},
        "elastic": {"student"},
        "elastic_unlabeled": {"student"},
        "volume": {"student", "heads"},
        "voxel_high": {"student", "heads"},
    },
    "self_ensembling": {"segmentation": {"student"}, "contrast": {"student", "projection"}},
    "local_contrast": {
        "global": {"student", "global_projection"},
        "local": {"student", "local_projection"},
        "segmentation": {"student"},
    },
    "atso": {"segmentation": {"student"}, "pseudo": {"student"}},
    "duo_segnet": {
        "segmentation": {"student"},
        "segmentation_second": {"second"},
        "agreement": {"student"},
        "agreement_second": {"second"},
        "adversarial": {"student"},
        "adversarial_second": {"second"},
        "critic": {"critic"},
    },
    "pseudo_contrast": {"segmentation": {"student"}, "contrast": {"student", "projection"}},
}


@pytest.mark.parametrize("name", CATALOG)
def test_each_term_reaches_what_it_should_and_nothing_else(name: str) -> None:
    """In what its player moves, that is: the loop never differentiates a term into anything else."""
    method, facts = tiny(load_method(name), **UNTRAINED.get(name, {}))
    seen = set()
    for index, stage in enumerate(method.stages(facts)):
        moved = {player.name: set(player.modules) for player in stage.players}
        terms = method.step(random_batch(method, facts, index), tiny_at(method, facts, index))
        for term_name, term in terms.items():
            assert reached(method, term.value) & moved[term.player] == REACH[name][term_name], term_name
            seen.add(term_name)
    assert seen == set(REACH[name])


SWITCHES: dict[str, dict[str, set[str]]] = {
    "supervised": {},
    "mean_teacher": {"consistency": {"consistency"}},
    "ua_mt": {"consistency": {"consistency"}},
    "self_training": {"rounds": {"pseudo"}, "pseudo": {"pseudo"}},
    "entropy_min": {"entropy": {"entropy"}},
    "cps": {"cross": {"cross", "cross_second"}},
    "urpc": {"consistency": {"consistency"}},
    "dtc": {
        "distance": {"distance"},
        "consistency": {"consistency"},
    },
    "bcp": {"pseudo": {"pseudo"}},
    "simcvd": {
        "distance": {"distance"},
        "contrast": {"contrast"},
        "distillation": {"distillation"},
        "consistency": {"consistency"},
    },
    "cvrl": {
        "elastic": {"elastic"},
        "elastic_unlabeled": {"elastic_unlabeled"},
        "volume": {"volume"},
        "voxel_high": {"voxel_high"},
    },
    "self_ensembling": {"contrast": {"contrast"}},
    "local_contrast": {
        "global_share": {"global"},
        "local_share": {"local"},
    },
    "atso": {"generations": {"pseudo"}, "pseudo": {"pseudo"}},
    "duo_segnet": {
        "segmentation": {"segmentation", "segmentation_second"},
        "agreement": {"agreement", "agreement_second"},
        "adversarial": {"adversarial", "adversarial_second", "critic"},
    },
    "pseudo_contrast": {"rounds": {"contrast"}, "contrast": {"contrast"}},
}


@pytest.mark.parametrize("name", CATALOG)
def test_each_weight_drops_its_own_terms_and_changes_no_other(name: str) -> None:
    dropped = check_switches(load_method(name), UNTRAINED.get(name))
    assert {setting: terms for setting, terms in dropped.items() if terms} == SWITCHES[name]


@pytest.mark.parametrize(
    "name", [n for n in CATALOG if n not in ("supervised", "bcp", "cps", "duo_segnet", "local_contrast")]
)
def test_unsupervised_weights_warm_up(name: str) -> None:
    method, facts = tiny(load_method(name), **UNTRAINED.get(name, {}))
    data = random_batch(method, facts)
    weights = [
        {t: term.weight for t, term in method.step(data, tiny_at(method, facts, progress=p)).items()}
        for p in (0.0, 0.5, 1.0)
    ]
    supervised = {"segmentation", "segmentation_second", "distance", "elastic"}
    for term in set(weights[0]) - supervised:
        assert (
            weights[0][term]
            < weights[1][term]
            < weights[2][term]
            == pytest.approx(getattr(method.settings, term.removesuffix("_second")))
        )
    assert weights[0]["segmentation"] == weights[2]["segmentation"] == 1


@pytest.mark.parametrize("name", list(CATALOG))
def test_pseudo_labels_are_made_as_masks_are(name: str) -> None:
    """In windows: in one forward a scan is another picture than the crops that were learned from."""
    method, facts = tiny(load_method(name), dims=3)
    asked = [stage.relabel for stage in method.stages(facts) if stage.relabel is not None]
    assert all(relabel.windows for relabel in asked)
    assert bool(asked) == (name in {"self_training", "atso", "pseudo_contrast"})
