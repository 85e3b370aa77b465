"""Local contrast of pseudo-labelled voxels.

Idea: a voxel's features approach the mean of its class, by labels and pseudo-labels
Paper: Chaitanya, Erdil, Karani, Konukoglu; MedIA 2023; arXiv 2112.09645
Basis: published code

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

Where the paper is silent, or we differ (docs/methods/pseudo_contrast.md says why):
* the loss is divided once, after the sum over pairs; inter takes the mean over an anchor's two positives;
* a pair is two scans that share a class; what a crop lacks is left out; crops are deformed, not only changed;
* with one foreground class the background joins; what was not annotated, or may hide it, takes no part;
* class means are weighted by class fractions; the largest component replaces the dense CRF;
* labels come from the last iterate; rounds keep the segmentation head; fewer rounds are longer ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from semivox.batches import Stream
from semivox.losses import local_class_contrast, segmentation_loss
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Player, Relabel, Stage, Term
from semivox.networks import PixelProjection
from semivox.ranges import Amount, Compared, FewOrNone, NotAll, Share, Steps, Weight, Width


@dataclass(frozen=True)
class PseudoContrastSettings(StudentTeacherSettings):
    paper_steps: Steps = 20000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it. [code]"""
    pretrain: NotAll = 5000 / 20000
    """Share of the run on labelled scans alone; the rounds share the rest. [code]"""
    rounds: FewOrNone = 3
    """How often the unlabelled scans are labelled anew and trained with; 0: never. [code]"""
    contrast: Weight = 0.1
    """lambda: weight of the contrast; 0 drops it. [code]"""
    temperature: Amount = 0.1
    """tau of the contrast. [code]"""
    reach: Literal["inter", "intra"] = "inter"
    """inter: class means of both crops of a pair; intra: of an anchor's own crop. [code]"""
    negatives: Literal["means", "voxels"] = "means"
    """What an anchor is told apart from: the means of other classes, or their anchor voxels. [code]"""
    anchors: Compared = 3
    """Anchor voxels of each class in each crop. [code]"""
    include_background: Literal["auto", "always", "never"] = "auto"
    """Whether the background is a class of the contrast; auto: where there is one foreground class. [ours]"""
    contrast_on: Literal["both", "labeled", "unlabeled"] = "both"
    """Whose crops are paired. [code]"""
    embedding: Width = 16
    """Dimensions of an embedding. [code]"""
    clean: Literal["none", "largest"] = "largest"
    """largest: of a class that labels show in one piece only the largest component stays in a pseudo-label.
    [ours]"""
    confidence: Share = 0.0
    """Voxels whose pseudo-label is less sure than this take no part in the contrast. [ours]"""
    ema_decay: NotAll = 0.99
    """Decay of the averaged weights that label and predict (at paper_steps). [ours]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places, in the student. [ours]"""


class PseudoContrast(StudentTeacher):
    Settings = PseudoContrastSettings
    settings: PseudoContrastSettings
    paper: ClassVar[Mapping[str, Any]] = {
        "optimizer.kind": "adam",
        "optimizer.lr": 1e-3,
        "optimizer.schedule": "constant",
        "optimizer.weight_decay": 0.0,
    }

    def __init__(self, facts: Facts, settings: PseudoContrastSettings) -> None:
        super().__init__(facts, settings)
        background = {"auto": facts.classes == 2, "always": True, "never": False}
        self.compared = list(range(0 if background[settings.include_background] else 1, facts.classes))
        channels, key = facts.plan.network.features[0], facts.key / "network" / "projection"
        self.projection = PixelProjection(channels, facts.dims, key=key, outputs=settings.embedding)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, (n_l, n_u) = self.settings, facts.batch
        rounds = s.rounds if facts.sweeps is None else min(s.rounds, facts.sweeps)
        alone = Stream("labeled", size=facts.alone, target="label", where="foreground")
        players, share = (Player("segmenter", ("student",)),), s.pretrain if rounds else 1.0
        baseline = Stage("labeled", {"labeled": alone}, players, self.pairs(), share)

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
                    self.pairs(),
                    share=(1 - s.pretrain) / rounds,
                    relabel=Relabel(clean=s.clean) if pseudo else None,
                )
                for r in range(rounds)
            ),
        ]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, pairs = self.settings, batch["labeled"], batch.get("pairs")
        x, n_l = labeled.views["weak"], len(labeled.valid)  # (B, C, X, Y[, Z])
        if pairs is not None:
            x = torch.cat([x, pairs.views["weak"]])
        output = self.student(x, drop=at.rng("dropout/student"))
        loss = segmentation_loss(output.logits[:n_l], *labeled.supervision)
        terms = {"segmentation": Term(loss)}
        if pairs is not None and s.contrast:
            features = output.features["decoder"][n_l:]
            features = at.after_head_start(features) if at.stage == "round1" else features
            loss = local_class_contrast(
                self.projection(features),  # (B, D, X, Y[, Z])
                (pairs.labels, pairs.valid, pairs.annotated),
                self.compared,
                s.anchors,
                at.rng("anchors"),
                temperature=s.temperature,
                reach=s.reach,
                negatives=s.negatives,
            )
            terms["contrast"] = Term(loss, s.contrast)
        return terms
