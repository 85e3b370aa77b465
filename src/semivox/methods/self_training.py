"""Self-training as it pays with few labels.

Idea: a teacher that has finished learning labels whole scans; a student learns from them
Basis: measured here

    first     L = L_seg(labelled); the learning rate falls to 0
    round r   the averaged weights label every unlabelled scan, in windows: argmax of the mean over it and its
              mirror image; of R rounds this one learns from the r / (R + 1) of the scans that agree most with
              theirs (after ST++, Yang et al., CVPR 2022), and voxel v of scan i counts by

                  w_iv = s_i clip((m_iv - tau_k) / (1 - tau_k), 0, 1)

              with m_iv the largest probability, tau_k the first quartile of m over all voxels labelled k (at
              least 0.5), and s_i how far scan and mirror image agree; then

                  L = L_seg(labelled) + lambda L_seg(pseudo-labelled; w)

              on one schedule through all rounds, from a second, smaller learning rate to 0

Boxes change places, image, target and weight, both ways (after BCP, Bai et al., CVPR 2023): first between
labelled crops, then in half of the pairs of a labelled and a pseudo-labelled one. Labelled crops are as many
as in ``supervised``; others come on top. A round whose labels cannot be right (a class is missing, volumes
leave the labelled range, mirror images disagree) is refused, and the run goes on with labels alone.
Ours, after pseudo-labels (Lee, 2013) and thresholds by class (Zhang et al., NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semivox.batches import Stream, boxes, pasted
from semivox.losses import segmentation_loss
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Optimizer, Player, Relabel, Stage, Term
from semivox.ranges import Factor, FewOrNone, NotAll, Share, Steps, Weight

LEAST_ALONE = 0.5


@dataclass(frozen=True)
class SelfTrainingSettings(StudentTeacherSettings):
    paper_steps: Steps = 6000
    """Steps that the constants are meant for; those counted in steps scale with the run's length by it.
    [ours]"""
    alone: NotAll = 0.7
    """Share of the run on labelled scans alone, before the first pseudo-labels. [ours]"""
    enough: Steps = 1000
    """Steps on labelled scans alone that are enough: a longer run has no more, but for half of it. [ours]"""
    rounds: FewOrNone = 3
    """How often all unlabelled scans are labelled anew; 0: never. [ours]"""
    final: NotAll = 0.0
    """Share of the run on labelled scans alone at the end. [ours]"""
    pseudo: Weight = 1.0
    """Weight lambda of the pseudo-labelled crops; 0 drops the term. [ours]"""
    pseudo_crops: Factor = 1.0
    """Pseudo-labelled crops a step, as a multiple of the labelled ones; at least one. [ours]"""
    lr: Weight = 0.1
    """Learning rate at the beginning of the rounds; 0: one schedule spans the whole run. [ours]"""
    weighted: bool = True
    """Voxels count by how sure they are in their class, scans by how far their mirror images agree. [ours]"""
    confidence: Share = 0.0
    """Voxels whose pseudo-label is less sure than this do not count. [ours]"""
    windows: bool = True
    """Label scans in windows, as masks are made; else in one forward. [ours]"""
    mirrors: FewOrNone = 1
    """Label by the mean over a scan and at most so many of its mirror images. [ours]"""
    easy_first: bool = True
    """Round r of R has the r / (R + 1) of the scans that agree most with their mirror images; else all.
    [ours]"""
    clean: bool = True
    """Of a class that labels show in one piece only the largest component stays in a pseudo-label. [ours]"""
    strong: bool = False
    """Pseudo-labelled crops are strong views instead of weak ones. [ours]"""
    first_exchange: Share = 1.0
    """Share of the pairs of labelled crops in which a box changes places before the first round. [ours]"""
    first_box: Share = 2 / 3
    """Side of that box as a share of the crop's. [field]"""
    exchange: Share = 0.5
    """Share of the pairs of a labelled and a pseudo-labelled crop in which a box changes places. [ours]"""
    box: Share = 0.5
    """Side of that box as a share of the crop's. [ours]"""


class SelfTraining(StudentTeacher):
    Settings = SelfTrainingSettings
    settings: SelfTrainingSettings

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, n = self.settings, facts.alone
        player = Player("segmenter", tuple(self.averages))
        later = replace(player, optimizer=Optimizer(lr=s.lr)) if s.lr else player
        labeled = {"labeled": Stream("labeled", size=n, target="label", where="foreground")}
        first = {"labeled": replace(labeled["labeled"], exchange=s.first_exchange, exchange_side=s.first_box)}
        rounds = s.rounds if facts.sweeps is None else min(s.rounds, facts.sweeps)
        if not rounds or not s.pseudo:
            return [Stage("labeled", first, (player,), self.pairs())]
        relabel = Relabel(clean="largest" if s.clean else "none", windows=s.windows, mirrors=s.mirrors)
        alone = min(s.alone, max(LEAST_ALONE, s.enough / facts.steps))
        each = (1 - alone - s.final) / rounds
        stages = [Stage("labeled", first, (player,), self.pairs(), alone)]
        for r in range(1, rounds + 1):
            both = {**labeled, "pseudo": self._pseudo(n, r / (rounds + 1))}
            goes_on = r > 1 or not s.lr
            stages.append(Stage(f"round{r}", both, (later,), self.pairs(), each, relabel, continues=goes_on))
        if s.final:
            stages.append(Stage("final", labeled, (later,), self.pairs(), s.final, continues=True))
        return stages

    def _pseudo(self, labeled: int, share: float) -> Stream:
        s = self.settings
        size, share = max(1, round(s.pseudo_crops * labeled)), share if s.easy_first else 1.0
        return Stream("unlabeled", size, ("strong" if s.strong else "weak",), "pseudo", "foreground",
                      confidence=s.confidence, weighted=s.weighted, surest=share)  # fmt: skip

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, drop = self.settings, batch["labeled"], at.rng("dropout/student")
        # (B, C, X, Y[, Z]), (B, K-1, ...), (B, 1, ...)
        x_l, y_l, w_l = labeled.views["weak"], labeled.labels, labeled.valid
        if "pseudo" not in batch:
            logits = self.student(x_l, drop=drop).logits
            return {"segmentation": Term(segmentation_loss(logits, *labeled.supervision))}

        pseudo = batch["pseudo"]
        (x_u,), y_u, w_u = pseudo.views.values(), pseudo.labels, pseudo.valid  # the one view asked for
        if pairs := round(s.exchange * min(len(x_l), len(x_u))):
            inside = boxes(x_l[:pairs], at.rng("box"), s.box)
            x_l, x_u = _exchange(x_l, x_u, inside)
            y_l, y_u = _exchange(y_l, y_u, inside)
            # the background of a partly annotated crop may hide what pseudo-labels claim to know
            known = labeled.annotated.amin(1).view(-1, *(1,) * (w_l.dim() - 1))
            w_l, w_u = _exchange(w_l, w_u, inside)[0], _exchange(w_l * known, w_u, inside)[1]
        logits = self.student(torch.cat([x_l, x_u]), drop=drop).logits
        logits_l, logits_u = logits.split([len(x_l), len(x_u)])
        return {
            "segmentation": Term(segmentation_loss(logits_l, y_l, w_l, labeled.annotated, labeled.regions)),
            "pseudo": Term(segmentation_loss(logits_u, y_u, w_u, pseudo.annotated, pseudo.regions), s.pseudo),
        }


def _exchange(a: Tensor, b: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """``a`` and ``b`` with their first samples' voxels exchanged where ``inside`` (n, 1, ...) is 1."""
    n = len(inside)
    ahead, behind = pasted(a[:n], b[:n], inside), pasted(b[:n], a[:n], inside)
    return torch.cat([ahead, a[n:]]), torch.cat([behind, b[n:]])
