"""Local contrast of pseudo-labelled voxels (Chaitanya, Erdil, Karani, Konukoglu; MedIA 87:102792, 2023,
arXiv 2112.09645).

    L = L_seg(labelled) + lambda L_loc(labelled and pseudo-labelled)

A baseline learns from the labelled scans; then, in rounds, the network labels all unlabelled scans and goes
on with both terms. L_loc sees pairs of crops (x, x'), whose classes come from the label or the pseudo-label.
Embeddings are a projection of the decoder's last features; m_c(x) is the mean of those of class c in x. Of
every foreground class and crop a few anchor voxels are drawn. With s the cosine / tau, an anchor a of class c
in x has the loss (losses.class_means)

    inter    mean over p in {m_c(x), m_c(x')} of -log exp s(a, p) / Z,
             Z = sum over c' of exp s(a, m_c'(x)) + exp s(a, m_c'(x'))
    intra    -log exp s(a, m_c(x)) / sum over c' of exp s(a, m_c'(x))

Pseudo-labels guide the contrast alone: no voxel is trained to be what a pseudo-label says.

Where the paper is silent, or we differ: the loss is divided once, after the sum over pairs (published code
divides inside its loop, so that about one pair in ten counts); inter takes the mean over an anchor's two
positives; a pair is two scans that share a class (two crops of one, where no other has it), not all classes,
and what a crop lacks is left out; crops are deformed, their labels with them, as well as changed in
intensity; class means are weighted by class fractions; with one foreground class inter would have no negative
and intra be 0, so there the background joins; classes that were not annotated take no part, nor does the
background that may hide them; the largest component, of a class in one piece, replaces the dense CRF; labels
come from the last iterate of a round, not from the best on a validation set; the joint rounds keep the
baseline's segmentation head (new in the paper), and a round goes on with the last one's weights; the
projection has no normalisation layer; a step's paired crops are as many as its plan's unlabelled ones.
Where the budget holds fewer labellings than ``rounds``, the ones left are longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from semivox.batches import Crops, Stream
from semivox.losses import (
    class_mean_contrast,
    class_means,
    known_classes,
    sample_positions,
    segmentation_loss,
    vectors_at,
)
from semivox.methods.declare import At, Batch, Facts, Method, Pair, Player, Relabel, Stage, Term
from semivox.networks import PixelProjection
from semivox.randomness import BatchKey


@dataclass(frozen=True)
class PseudoContrastSettings:
    paper_steps: int = 20000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it. [code]"""
    pretrain: float = 5000 / 20000
    """Share of the run on labelled scans alone; the rounds share the rest. [code]"""
    rounds: int = 3
    """How often the unlabelled scans are labelled anew and trained with; 0: never. [code]"""
    contrast: float = 0.1
    """lambda: weight of the contrast; 0 drops it. [code]"""
    temperature: float = 0.1
    """tau of the contrast. [code]"""
    reach: Literal["inter", "intra"] = "inter"
    """inter: class means of both crops of a pair; intra: of an anchor's own crop. [code]"""
    negatives: Literal["means", "voxels"] = "means"
    """What an anchor is told apart from: the means of other classes, or their anchor voxels. [code]"""
    anchors: int = 3
    """Anchor voxels of each class in each crop. [code]"""
    include_background: Literal["auto", "always", "never"] = "auto"
    """Whether the background is a class of the contrast; auto: where there is one foreground class. [ours]"""
    contrast_on: Literal["both", "labeled", "unlabeled"] = "both"
    """Whose crops are paired. [code]"""
    embedding: int = 16
    """Dimensions of an embedding. [code]"""
    clean: Literal["none", "largest"] = "largest"
    """largest: of a class that labels show in one piece only the largest component stays in a pseudo-label.
    [ours]"""
    confidence: float = 0.0
    """Voxels whose pseudo-label is less sure than this take no part in the contrast. [ours]"""
    ema_decay: float = 0.99
    """Decay of the averaged weights that label and predict (at paper_steps). [ours]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places, in the student. [ours]"""


class PseudoContrast(Method):
    """Voxels are like their class's mean in two scans, labelled or pseudo-labelled."""

    Settings = PseudoContrastSettings
    paper: ClassVar[Mapping[str, Any]] = {
        "optimizer.kind": "adam",
        "optimizer.lr": 1e-3,
        "optimizer.schedule": "constant",
        "optimizer.weight_decay": 0.0,
    }
    paper_predictor: ClassVar[tuple[str, ...]] = ("student",)

    def __init__(self, facts: Facts, settings: PseudoContrastSettings) -> None:
        super().__init__()
        self.settings = settings
        background = {"auto": facts.classes == 2, "always": True, "never": False}
        self.compared = list(range(0 if background[settings.include_background] else 1, facts.classes))
        self.student = facts.network("student", dropout=settings.dropout)
        self.teacher = facts.network("student", dropout=settings.dropout)
        channels = facts.plan.network.features[0]
        key = facts.key / "network" / "projection"
        self.projection = PixelProjection(channels, facts.dims, key=key, outputs=settings.embedding)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, (n_l, n_u) = self.settings, facts.batch
        rounds = s.rounds if facts.sweeps is None else min(s.rounds, facts.sweeps)
        pairs = (Pair("student", "teacher", s.ema_decay),)

        alone = Stream("labeled", size=n_l + n_u, target="label", where="foreground")
        baseline = Stage(
            "labeled",
            {"labeled": alone},
            (Player("segmenter", ("student",)),),
            pairs,
            share=s.pretrain if rounds else 1.0,
        )
        labeled = Stream("labeled", size=n_l, target="label", where="foreground")
        pseudo = s.contrast_on != "labeled"
        paired = Stream(
            "all" if s.contrast_on == "both" else s.contrast_on,
            size=n_u + n_u % 2,
            target="either" if pseudo else "label",
            where="shared_classes",
            confidence=s.confidence if pseudo else 0.0,
        )
        return [
            baseline,
            *(
                Stage(
                    f"round{r + 1}",
                    {"labeled": labeled, "pairs": paired},
                    (Player("segmenter", ("student", "projection")),),
                    pairs,
                    share=(1 - s.pretrain) / rounds,
                    relabel=Relabel(clean=s.clean) if pseudo else None,
                )
                for r in range(rounds)
            ),
        ]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled = self.settings, batch["labeled"]
        assert labeled.target is not None
        x = labeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l = len(x)
        if "pairs" in batch:
            x = torch.cat([x, batch["pairs"].views["weak"]])
        output = self.student(x, drop=at.rng("dropout/student"))
        loss = segmentation_loss(output.logits[:n_l], labeled.target, labeled.valid, labeled.annotated)
        terms = {"segmentation": Term(loss)}
        if "pairs" in batch and s.contrast:
            embeddings = self.projection(output.features["decoder"][n_l:])  # (B, D, X, Y[, Z])
            loss = self._contrast(embeddings, batch["pairs"], at.rng("anchors"))
            terms["contrast"] = Term(loss, s.contrast)
        return terms

    def _contrast(self, embeddings: Tensor, pairs: Crops, key: BatchKey) -> Tensor:
        s = self.settings
        assert pairs.target is not None
        known = known_classes(pairs.target, pairs.valid, pairs.annotated)  # (B, K, X, Y[, Z])
        most, label = known.flatten(2).max(1)  # (B, P)
        index, drawn = sample_positions(label, most >= 0.5, self.compared, s.anchors, key)  # (B, K', N)
        means, present = class_means(embeddings, known[:, self.compared])  # (B, K', D), (B, K')
        return class_mean_contrast(
            vectors_at(embeddings, index),
            drawn,
            means,
            present,
            temperature=s.temperature,
            reach=s.reach,
            negatives=s.negatives,
        )
