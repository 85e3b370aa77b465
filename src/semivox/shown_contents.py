"""Of a run's files what pages show. Whoever trains or predicts checks the whole of them elsewhere."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from semivox.contents import Parent


class ShownCard(TypedDict):
    """``model.json`` as far as pages show it; whoever predicts checks all of it."""

    model_id: str
    predictor: list[str]
    method: NotRequired[str]
    steps: NotRequired[int]
    seed: NotRequired[int]
    labels: NotRequired[dict[str, str]]
    may_be_empty: NotRequired[list[int]]
    undertrained: NotRequired[str | None]
    training: NotRequired[ShownTraining | None]
    plan: NotRequired[ShownPlan | None]
    parent: NotRequired[Parent | None]


class ShownTraining(TypedDict):
    classes: NotRequired[dict[str, ShownClass]]


class ShownClass(TypedDict):
    components: NotRequired[list[float] | None]


class ShownPlan(TypedDict):
    dims: NotRequired[int]


class ShownConfig(TypedDict):
    """``config.yaml`` as far as pages show it; ``train`` checks every setting."""

    data: NotRequired[str | None]
    run: NotRequired[ShownRun]


class ShownRun(TypedDict):
    method: NotRequired[str]
    recipe: NotRequired[str]
    labeled: NotRequired[str | int | None]
    seed: NotRequired[int]
    steps: NotRequired[int | None]
    budget: NotRequired[float | None]
