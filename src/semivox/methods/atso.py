"""ATSO, asynchronous teacher-student optimization.

Idea: parts of the unlabelled scans take turns: one is learned from, the next is labelled
Paper: Huo, Xie, He, Yang, Zhou, Li, Tian; CVPR 2021; arXiv 2006.13461
Basis: abstract, rest ours

    L = L_seg(labelled, label) + w L_seg(unlabelled, pseudo-label)

A network fine-tuned on labels it gave itself hardly changes ("lazy learning"). So the unlabelled scans are
cut into k fixed parts, and no part is labelled by weights that have just learned from that part's own labels:

    labeled                 train on the labelled scans
    generation g, part i    label part i with the weights that arrive (from part i - 1; at first from the
                            labelled scans), then train on the labelled scans and part i

The synchronous baseline (``asynchronous`` off) labels all unlabelled scans at once and trains on all of them,
as long as the k halves of a generation together: equal steps, equal labelling. Of every relabelled scan the
bank journals how far its new pseudo-label agrees with its old one: this is the laziness, measured.

Ours, as only the abstract was at hand and no code is known (docs/methods/atso.md says more):
* all lengths and weights (6000 steps on labels, then 4 generations of 2 x 2500), hard labels, no clean-up;
* parts are cut by patient, stay the same all through the run, and are labelled right before they are used;
* one learning rate schedule spans all stages, where the recipe does not restart it (``run.restarts``);
* averaged weights label and predict, under the paper recipe the raw ones;
* where the budget holds fewer labellings than ``generations``, the ones left are longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from semivox.batches import Crops, Stream
from semivox.errors import SettingsError
from semivox.losses import segmentation_loss
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Player, Relabel, Stage, Term
from semivox.ranges import Few, FewOrNone, NotAll, Share, Steps, Weight


@dataclass(frozen=True)
class ATSOSettings(StudentTeacherSettings):
    paper_steps: Steps = 26000
    """Steps that the constants are meant for; those counted in steps scale with the run's length by it.
    [ours]"""
    pretrain: NotAll = 6000 / 26000
    """Share of the run on labelled scans alone; the generations share the rest. [ours]"""
    generations: FewOrNone = 4
    """How often all unlabelled scans are labelled anew and learned from; 0: never. [ours]"""
    parts: Few = 2
    """Into how many parts the unlabelled scans are cut (by patient). [abstract]"""
    asynchronous: bool = True
    """Label and train part by part; off: all unlabelled scans at once, the lazy baseline. [abstract]"""
    start: Literal["continue", "initial_model", "scratch"] = "continue"
    """Training on a part begins with the weights so far, with those that the labelled scans gave, or anew.
    [ours]"""
    pseudo: Weight = 1.0
    """Weight of the pseudo-labelled crops; 0 drops the term. [ours]"""
    labeled_too: bool = True
    """Go on with the labelled scans while training on a part; off: pseudo-labels alone. [ours]"""
    soft: bool = False
    """Learn from the probabilities instead of their argmax. [ours]"""
    clean: Literal["none", "largest"] = "none"
    """largest: of a class that labels show in one piece only the largest component stays in a pseudo-label.
    [ours]"""
    confidence: Share = 0.0
    """Voxels whose pseudo-label is less sure than this do not count. [ours]"""
    ema_decay: NotAll = 0.99
    """Decay of the averaged weights that label and predict (at paper_steps). [ours]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places, in the student. [ours]"""


STARTS = {"continue": "go_on", "initial_model": "labeled", "scratch": "initial"}


class ATSO(StudentTeacher):
    Settings = ATSOSettings
    settings: ATSOSettings

    def __init__(self, facts: Facts, settings: ATSOSettings) -> None:
        if settings.asynchronous and not 2 <= settings.parts <= facts.unlabeled:
            raise SettingsError(
                "the unlabelled scans cannot be cut into this many parts",
                found=f"parts={settings.parts}, {facts.unlabeled} unlabelled scans",
                expected="at least 2 parts and a scan in each",
                remedy="set method.parts, or method.asynchronous=false",
            )
        if not settings.labeled_too and not settings.pseudo:
            raise SettingsError("with labeled_too=false and pseudo=0 there is nothing to learn from")
        super().__init__(facts, settings)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, (n_l, n_u) = self.settings, facts.batch
        generations = s.generations if facts.sweeps is None else min(s.generations, facts.sweeps)
        k = s.parts if s.asynchronous else 1
        players = (Player("segmenter", ("student",)),)
        pairs = self.pairs()

        alone = Stream("labeled", size=facts.alone, target="label", where="foreground")
        share = s.pretrain if generations else 1.0
        stages = [Stage("labeled", {"labeled": alone}, players, pairs, share)]
        for g in range(generations):
            for i in range(k):
                pseudo = Stream(
                    "unlabeled",
                    size=n_u if s.labeled_too else facts.alone,
                    target="pseudo",
                    where="foreground",
                    part=(i, k),
                    confidence=s.confidence,
                )
                streams = {"pseudo": pseudo}
                if s.labeled_too:
                    streams["labeled"] = Stream("labeled", size=n_l, target="label", where="foreground")
                stages.append(
                    Stage(
                        f"generation{g + 1}_part{i + 1}" if k > 1 else f"generation{g + 1}",
                        streams,
                        players,
                        pairs,
                        share=(1 - s.pretrain) / (generations * k),
                        relabel=Relabel(part=(i, k), clean=s.clean, soft=s.soft),
                        start=STARTS[s.start],
                    )
                )
        return stages

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        used: list[Crops] = [batch[name] for name in ("labeled", "pseudo") if name in batch]
        x = torch.cat([crops.views["weak"] for crops in used])  # (B, C, X, Y[, Z])
        logits = self.student(x, drop=at.rng("dropout/student")).logits.split([len(c.valid) for c in used])
        terms = {}
        if "labeled" in batch:
            labeled = batch["labeled"]
            loss = segmentation_loss(logits[0], *labeled.supervision)
            terms["segmentation"] = Term(loss)
        if "pseudo" in batch and self.settings.pseudo:
            pseudo = batch["pseudo"]
            loss = segmentation_loss(logits[-1], *pseudo.supervision)
            terms["pseudo"] = Term(loss, self.settings.pseudo)
        return terms
