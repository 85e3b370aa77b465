"""Global and local contrast before fine-tuning.

Idea: contrast of whole crops of all scans, then of labelled voxels, before fine-tuning
Paper: Hu, Zeng, Xu, Shi; MICCAI 2021; arXiv 2109.07407
Basis: published code, notes

With s the cosine similarity of two projected vectors divided by a temperature:

* global: two crops of each scan, labelled or not, through the encoder; its bottleneck is averaged and
  projected. Each crop should find the other crop of its scan (NT-Xent, tau 0.5).
* local: two intensity views of labelled crops through encoder and decoder; projected voxels, within blocks
  or over every 4th voxel. Anchors a are foreground voxels, P(a) the others of their class in either view,
  A(a) all others, background too (tau 0.1):

      L = mean over a, p in P(a) of -log exp s(a, p) / sum over k in A(a) of exp s(a, k)

* finetune: L = L_seg on labelled crops.

Where the paper is silent, or we differ (docs/methods/local_contrast.md says why):
* ``form`` out is its code's, ratio its formula's; pre-training keeps the published Adam under every recipe;
* the global projection is trained and has a ReLU; other crops of a scan are no negatives, so a step has at
  least 8 scans; blocks of 8^3, limits, shares, dropout and averages in fine-tuning are ours;
* voxels without a majority class, and the background of a partly annotated scan, count as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from semivox.batches import Crops, Stream
from semivox.errors import SettingsError
from semivox.losses import Form, crop_contrast, segmentation_loss, view_pools, voxel_contrast, voxel_labels
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Optimizer, Player, Stage, Term
from semivox.networks import Segmenter, VectorProjection, pixel_projection
from semivox.randomness import BatchKey
from semivox.ranges import Amount, ComparedOrNone, Count, NotAll, Steps

PUBLISHED = {
    "global": Optimizer("adam", lr=3e-4, weight_decay=1e-5, schedule="cosine", clip=0),
    "local": Optimizer("adam", lr=1e-4, weight_decay=1e-4, schedule="constant", clip=0),
    "finetune": Optimizer("adam", lr=5e-4, weight_decay=0.0, schedule="constant", clip=0),
}


@dataclass(frozen=True)
class LocalContrastSettings(StudentTeacherSettings):
    paper_steps: Steps = 12000
    """About what the paper's epochs make; ema_decay scales with the run's length by it. [ours]"""
    global_share: NotAll = 0.3
    """Share of the run for global contrast; 0 leaves the stage out. [ours]"""
    local_share: NotAll = 0.2
    """Share of the run for local contrast; 0 leaves the stage out. [ours]"""
    sampling: Literal["block", "stride"] = "block"
    """Voxels are compared within blocks, or over a grid of every n-th voxel of all images. [notes]"""
    stride: Count = 4
    """Stride sampling: n, along each axis. [code]"""
    block: Count | None = None
    """Block sampling: side in voxels; empty: 16 in 2D, and in 3D 8, which is ours. [notes]"""
    blocks: ComparedOrNone = 16
    """Block sampling: at most this many blocks a step, those with foreground first; 0: all. [ours]"""
    anchors: ComparedOrNone = 1024
    """At most this many anchors a step; 0: all. [ours]"""
    form: Form = "out"
    """Form of the local loss: out (the paper's code), ratio (its formula), in or pair. [code]"""
    background_anchors: bool = False
    """Background voxels are anchors too, and the background a class. [code]"""
    background_negatives: bool = True
    """Background voxels are negatives; off: foreground classes are told apart from one another. [code]"""
    supervised: bool = True
    """Positives: voxels of the same class; off: the same voxel in the other view (no label used). [code]"""
    local_head: Literal["mlp", "linear"] = "mlp"
    """Projection of a voxel: two layers with a ReLU, which is ours, or one. [code]"""
    global_temperature: Amount = 0.5
    """tau of the global contrast. [code]"""
    local_temperature: Amount = 0.1
    """tau of the local contrast. [code]"""
    published_optimizer: bool = False
    """Fine-tuning, too, moves by its published optimizer (Adam) instead of the run's. [ours]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places while fine-tuning. [ours]"""


class LocalContrast(StudentTeacher):
    Settings = LocalContrastSettings
    settings: LocalContrastSettings
    student: Segmenter
    paper: ClassVar[Mapping[str, Any]] = {"method.published_optimizer": True}

    def __init__(self, facts: Facts, settings: LocalContrastSettings) -> None:
        shares = settings.global_share, settings.local_share
        if min(shares) < 0 or sum(shares) >= 1:
            found = f"global_share={shares[0]}, local_share={shares[1]}"
            raise SettingsError("no share is left for fine-tuning", found=found, expected="together below 1")
        super().__init__(facts, settings)
        deep, fine = (self.student.feature_channels[name] for name in ("bottleneck", "decoder"))
        key, hidden = facts.key / "network", 256 if settings.local_head == "mlp" else None
        self.global_projection = VectorProjection(deep, key / "global_projection", outputs=256, hidden=deep)
        self.local_projection = pixel_projection(fine, facts.dims, key / "local_projection", hidden)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, n_l, n = self.settings, facts.batch[0], facts.alone
        n_all = max(n, 8)
        scans = Stream("all", size=n_all, views=("weak", "recrop"), where="body")
        twice = Stream("labeled", size=n_l, views=("weak", "intensity"), target="label", where="foreground")
        labeled = Stream("labeled", size=n, target="label", where="foreground")
        rest = 1 - s.global_share - s.local_share
        stages = [
            Stage("global", {"all": scans}, self._players("global", "global_projection"), (), s.global_share),
            Stage("local", {"labeled": twice}, self._players("local", "local_projection"), (), s.local_share),
            Stage("finetune", {"labeled": labeled}, self._players("finetune"), self.pairs(), rest),
        ]
        return [stage for stage in stages if stage.share > 0]

    def _players(self, stage: str, *projection: str) -> tuple[Player, ...]:
        common = stage == "finetune" and not self.settings.published_optimizer
        return (Player("segmenter", ("student", *projection), None if common else PUBLISHED[stage]),)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        if at.stage == "global":
            crops = batch["all"]
            x = torch.cat([crops.views["weak"], crops.views["recrop"]])  # (2B, C, X, Y[, Z])
            z = self.global_projection(self.student.encode(x)["bottleneck"].flatten(2).mean(2))  # (2B, 256)
            tau = self.settings.global_temperature
            return {"global": Term(crop_contrast(z, crops.case, temperature=tau))}
        labeled = batch["labeled"]
        if at.stage == "local":
            return {"local": Term(self._local_contrast(labeled, at.rng("anchors")))}
        logits = self.student(labeled.views["weak"], drop=at.rng("dropout/student")).logits
        loss = segmentation_loss(logits, *labeled.supervision)
        return {"segmentation": Term(loss)}

    def _local_contrast(self, crops: Crops, key: BatchKey) -> Tensor:
        s, tau = self.settings, self.settings.local_temperature
        x = torch.cat([crops.views["weak"], crops.views["intensity"]])  # (2B, C, X, Y[, Z])
        features = self.student(x).features["decoder"]
        y = voxel_labels(crops.labels, crops.valid, crops.annotated, s.supervised)  # (B, X, Y[, Z])
        stride, side = (s.stride if s.sampling == "stride" else None), s.block or (16 if y.dim() == 3 else 8)
        pools = view_pools(features, y, key, stride, side, s.blocks)
        # projected after sampling: 128 channels at every voxel would not fit into memory
        vectors, labels, rank = pools.projected(self.local_projection)
        who = {"background_anchors": s.background_anchors, "background_negatives": s.background_negatives}
        return voxel_contrast(vectors, labels, rank, temperature=tau, form=s.form, anchors=s.anchors, **who)
