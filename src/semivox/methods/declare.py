"""The vocabulary a method is written in: streams, players, pairs, stages, terms.

A method *declares* what it needs; the loop, the sampler and the EMA do the work, each in one place::

    for stage in method.stages(facts):
        for batch in batches(stage):
            terms = method.step(batch, at)
            for player in stage.players: backward, clip, step
            for pair in stage.pairs: the teacher moves towards the student
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from semivox.batches import Crops, Stream
from semivox.losses import segmentation_loss
from semivox.methods.facts import At, Facts
from semivox.networks import Segmenter
from semivox.ranges import Share, Weight

Batch = Mapping[str, Crops]


@dataclass(frozen=True)
class Optimizer:
    """How a player moves."""

    kind: Literal["sgd", "adam", "adamw", "rmsprop"] = "sgd"
    """Which optimizer."""
    lr: Weight = 0.2
    """Learning rate at the start of a stage."""
    momentum: Weight = 0.9
    """Momentum of SGD."""
    nesterov: bool = True
    """Nesterov's form of the momentum."""
    weight_decay: Weight = 5e-5
    """Weight decay."""
    schedule: Literal["poly", "step", "cosine", "constant"] = "poly"
    """poly: lr x (1 - progress)^power; step: lr x factor at each milestone; cosine: to 0; constant."""
    power: Weight = 0.9
    """Exponent of the poly schedule."""
    milestones: tuple[Share, ...] = ()
    """Where the step schedule falls, as parts of the stage between 0 and 1."""
    factor: Weight = 0.1
    """What the step schedule multiplies the learning rate by."""
    clip: Weight = 6.0
    """Largest norm of a player's gradient; 0: no limit."""


@dataclass(frozen=True)
class Player:
    """Who learns: the trainable parameters of ``modules`` (attribute names of the method) move together.

    ``optimizer`` None: the recipe's.
    """

    name: str
    modules: tuple[str, ...]
    optimizer: Optimizer | None = None


@dataclass(frozen=True)
class Pair:
    """``teacher`` follows ``student`` (attribute names): an exponential moving average over about
    1 / (1 - decay) of the paper's steps; the horizon scales with the run (see ``training.ema``)."""

    student: str
    teacher: str
    decay: float = 0.99


@dataclass(frozen=True)
class Relabel:
    """Label part ``part`` of the unlabelled scans anew, with the mean softmax of the modules ``by`` (empty:
    the run's predictor). ``clean``: of a class that labels show in one piece only the largest component
    stays. ``soft``: keep the probabilities, not their argmax. ``windows``: label in half-overlapping windows
    of the plan's patch, as masks are made; off: in one forward, which is another picture than a crop to a
    network that normalises what it sees. ``mirrors``: label by the mean over a scan and at most so many of
    its mirror images, along the axes that training crops are mirrored along; how far they agree weighs the
    scan, and a round in which they do not is refused."""

    part: tuple[int, int] = (0, 1)
    by: tuple[str, ...] = ()
    clean: Literal["none", "largest"] = "none"
    soft: bool = False
    windows: bool = True
    mirrors: int = 0


@dataclass(frozen=True)
class Stage:
    """A part of the run. ``share`` is its part of all steps.

    On entry, in this order: ``relabel`` with the weights that arrive; ``start`` says whose weights the stage
    begins with: ``go_on`` keeps them, ``initial`` takes those the run began with, a stage's name those at its
    end; ``fresh`` names modules that begin anew; ``copy`` maps a module to the one whose weights it takes;
    a pair that no earlier stage had begins with its teacher equal to its student.

    ``step`` names the method's function that makes the terms. ``continues``: one learning rate schedule spans
    the stage before and this one.
    """

    name: str
    streams: Mapping[str, Stream]
    players: tuple[Player, ...]
    pairs: tuple[Pair, ...] = ()
    share: float = 1.0
    relabel: Relabel | None = None
    start: str = "go_on"
    fresh: tuple[str, ...] = ()
    copy: Mapping[str, str] = field(default_factory=dict)
    step: str = "step"
    continues: bool = False


@dataclass(frozen=True)
class Term:
    """One term of the loss: ``weight`` x ``value`` goes backward into ``player``'s parameters only.

    A weight of 0 drops the term: it is journalled and not multiplied.
    """

    value: Tensor
    weight: float = 1.0
    player: str = "segmenter"


class Method(nn.Module):
    """A training method: what its paper adds and nothing else.

    Networks, heads and queues are submodules, so ``state_dict()`` is the checkpoint. Subclasses set
    ``Settings`` (a frozen dataclass whose defaults are the paper's constants, ``paper_steps`` among them; the
    string below a field may end in where its default comes from, such as ``[code]``, see ``origins``),
    build their modules in ``__init__(facts, settings)`` and implement :meth:`stages` and :meth:`step`.
    """

    Settings: ClassVar[type]
    #: Modules whose mean softmax is the prediction under the common recipe, and under the paper's.
    predictor: ClassVar[tuple[str, ...]] = ("teacher",)
    paper_predictor: ClassVar[tuple[str, ...]] = ("student",)
    #: What ``--recipe paper`` changes, by dotted setting name.
    paper: ClassVar[Mapping[str, Any]] = {}
    #: Named sets of settings, chosen by NAME:PRESET.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    needs_unlabeled: ClassVar[bool] = True

    def stages(self, facts: Facts) -> Sequence[Stage]:
        """The stages of a run, in order; their shares sum to 1."""
        raise TypeError(f"{type(self).__name__} does not declare its stages")

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        """The terms of the loss of one step, by name."""
        raise TypeError(f"{type(self).__name__} does not define its step")

    def warm_up(self, batch: Batch, at: At) -> dict[str, Term]:
        """The terms of a step before the method's own beginning: every network that learns, from labels
        alone. Where there are several labelled streams, each network keeps to its own."""
        streams = list(batch.values())
        terms: dict[str, Term] = {}
        for name, network in self.named_children():
            if not isinstance(network, Segmenter) or not any(p.requires_grad for p in network.parameters()):
                continue
            labeled = streams[len(terms) % len(streams)]
            logits = network(labeled.views["weak"], drop=at.rng(f"dropout/{name}")).logits
            loss = segmentation_loss(logits, *labeled.supervision)
            terms["segmentation" + (f"_{name}" if terms else "")] = Term(loss)
        return terms


__all__ = [
    "At",
    "Batch",
    "Facts",
    "Method",
    "Optimizer",
    "Pair",
    "Player",
    "Relabel",
    "Stage",
    "Stream",
    "Term",
]
