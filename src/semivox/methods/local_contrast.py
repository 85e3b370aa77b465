"""Global and local contrast before fine-tuning (Hu, Zeng, Xu, Shi; MICCAI 2021, arXiv 2109.07407).

With s the cosine similarity of two projected vectors divided by a temperature:

* global: two crops of each scan, labelled or not, through the encoder; its bottleneck is averaged and
  projected. Each crop should find the other crop of its scan (NT-Xent, tau 0.5):

      L = mean over i of -log exp s(z_i, z_j(i)) / sum over k of exp s(z_i, z_k)

* local: two intensity views of labelled crops through encoder and decoder; projected voxels. Anchors a are
  foreground voxels, P(a) the others of their class in either view, A(a) all others, background too (tau 0.1):

      L = mean over a, p in P(a) of -log exp s(a, p) / sum over k in A(a) of exp s(a, k)

  taken within blocks, or over every 4th voxel.
* finetune: L = L_seg on labelled crops.

Where the paper is silent, or we differ: its formula and its code disagree, ``form`` out is the code's, ratio
the formula's. Both projections are trained (the code leaves the global one as drawn), and the global one has
a ReLU between its layers. Other crops of the same scan are no negatives. Blocks of 8^3 in 3D, the limits on
blocks and anchors a step, shares and number of steps are ours. Pre-training moves by the published Adam under
every recipe: the common learning rate leaves weights that fine-tune slowly. Voxels without a majority class
count as nothing, nor does the background of a partly annotated scan, which may hide a class. Dropout and the
averaged weights belong to fine-tuning alone; under the paper recipe the student predicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from semivox.batches import Crops, Stream
from semivox.errors import SettingsError
from semivox.losses import (
    Form,
    block_pools,
    class_labels,
    info_nce,
    place_labels,
    segmentation_loss,
    strided_pool,
    voxel_contrast,
)
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Pair, Player, Stage, Term
from semivox.networks import PixelProjection, Segmenter, VectorProjection
from semivox.networks.layers import convolution, initialise
from semivox.randomness import BatchKey

PUBLISHED = {
    "global": Optimizer("adam", lr=3e-4, weight_decay=1e-5, schedule="cosine", clip=0),
    "local": Optimizer("adam", lr=1e-4, weight_decay=1e-4, schedule="constant", clip=0),
    "finetune": Optimizer("adam", lr=5e-4, weight_decay=0.0, schedule="constant", clip=0),
}


@dataclass(frozen=True)
class LocalContrastSettings:
    paper_steps: int = 12000
    """Steps that ema_decay is meant for (about what the paper's epochs make); it scales with the run's
    length. [ours]"""
    global_share: float = 0.3
    """Share of the run for global contrast; 0 leaves the stage out. [ours]"""
    local_share: float = 0.2
    """Share of the run for local contrast; 0 leaves the stage out. [ours]"""
    sampling: Literal["block", "stride"] = "block"
    """Voxels are compared within blocks, or over a grid of every n-th voxel of all images. [notes]"""
    stride: int = 4
    """Stride sampling: n, along each axis. [code]"""
    block: int | None = None
    """Block sampling: side in voxels; empty: 16 in 2D, and in 3D 8, which is ours. [notes]"""
    blocks: int = 16
    """Block sampling: at most this many blocks a step, those with foreground first; 0: all. [ours]"""
    anchors: int = 1024
    """At most this many anchors a step; 0: all. [ours]"""
    form: Form = "out"
    """Form of the local loss: out (the paper's code), ratio (its formula), in or pair. [code]"""
    background_anchors: bool = False
    """Background voxels are anchors too, and the background a class. [code]"""
    background_negatives: bool = True
    """Background voxels are negatives; off: foreground classes are told apart from one another. [code]"""
    supervised: bool = True
    """Positives are voxels of the same class; off: the same voxel in the other view (no label is used).
    [code]"""
    local_head: Literal["mlp", "linear"] = "mlp"
    """Projection of a voxel: two layers with a ReLU, which is ours, or one. [code]"""
    global_temperature: float = 0.5
    """tau of the global contrast. [code]"""
    local_temperature: float = 0.1
    """tau of the local contrast. [code]"""
    published_optimizer: bool = False
    """Fine-tuning, too, moves by its published optimizer (Adam) instead of the run's. [ours]"""
    ema_decay: float = 0.99
    """Decay of the averaged weights that predict (at paper_steps). [ours]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places while fine-tuning. [ours]"""


class LocalContrast(Method):
    """Pre-training by contrast of whole crops, then of labelled voxels; fine-tuning after it."""

    Settings = LocalContrastSettings
    paper: ClassVar[Mapping[str, Any]] = {"method.published_optimizer": True}

    def __init__(self, facts: Facts, settings: LocalContrastSettings) -> None:
        super().__init__()
        shares = settings.global_share, settings.local_share
        if min(shares) < 0 or sum(shares) >= 1:
            raise SettingsError(
                "the stages of local_contrast leave no fine-tuning",
                found=f"global_share={shares[0]}, local_share={shares[1]}",
                expected="shares of the run, at least 0 and together less than 1",
            )
        self.settings = settings
        student = facts.network("student", dropout=settings.dropout)
        assert isinstance(student, Segmenter)
        self.student = student
        self.teacher = facts.network("student", dropout=settings.dropout)
        deep, fine = (student.feature_channels[name] for name in ("bottleneck", "decoder"))
        key = facts.key / "network"
        self.global_projection = VectorProjection(deep, key / "global_projection", outputs=256, hidden=deep)
        self.local_projection: nn.Module
        if settings.local_head == "mlp":
            self.local_projection = PixelProjection(fine, facts.dims, key / "local_projection", hidden=256)
        else:
            self.local_projection = convolution(fine, 128, (1,) * facts.dims, bias=True)
            initialise(self.local_projection, key / "local_projection")

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, n = self.settings, sum(facts.batch)
        pairs = (Pair("student", "teacher", s.ema_decay),)
        # other scans are the negatives: a step needs several
        n_all = max(n, 8 if facts.dims == 2 else 4)
        scans = Stream("all", size=n_all, views=("weak", "recrop"), where="body")
        views = ("weak", "intensity")
        twice = Stream("labeled", size=facts.batch[0], views=views, target="label", where="foreground")
        labeled = Stream("labeled", size=n, target="label", where="foreground")
        rest = 1 - s.global_share - s.local_share
        stages = [
            Stage("global", {"all": scans}, self._players("global", "global_projection"), (), s.global_share),
            Stage("local", {"labeled": twice}, self._players("local", "local_projection"), (), s.local_share),
            Stage("finetune", {"labeled": labeled}, self._players("finetune"), pairs, rest),
        ]
        return [stage for stage in stages if stage.share > 0]

    def _players(self, stage: str, *projection: str) -> tuple[Player, ...]:
        published = stage != "finetune" or self.settings.published_optimizer
        optimizer = PUBLISHED[stage] if published else None
        return (Player("segmenter", ("student", *projection), optimizer),)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        if at.stage == "global":
            return {"global": Term(self._global_contrast(batch["all"]))}
        labeled = batch["labeled"]
        assert labeled.target is not None
        if at.stage == "local":
            return {"local": Term(self._local_contrast(labeled, labeled.target, at.rng("anchors")))}
        output = self.student(labeled.views["weak"], drop=at.rng("dropout/student"))
        loss = segmentation_loss(output.logits, labeled.target, labeled.valid, labeled.annotated)
        return {"segmentation": Term(loss)}

    def _global_contrast(self, crops: Crops) -> Tensor:
        x = torch.cat([crops.views["weak"], crops.views["recrop"]])  # (2B, C, X, Y[, Z])
        pooled = self.student.encode(x)["bottleneck"].flatten(2).mean(2)
        z = self.global_projection(pooled)  # (2B, 256)
        case, index = crops.case.repeat(2), torch.arange(len(z), device=z.device)
        positives = (index[:, None] - index).abs() == len(crops.case)
        same_case = case[:, None] == case  # itself included
        tau = self.settings.global_temperature
        return info_nce(z, z, positives, temperature=tau, exclude=same_case & ~positives)

    def _local_contrast(self, crops: Crops, y_l: Tensor, key: BatchKey) -> Tensor:
        s = self.settings
        x = torch.cat([crops.views["weak"], crops.views["intensity"]])  # (2B, C, X, Y[, Z])
        features = self.student(x).features["decoder"]
        y = class_labels(y_l, crops.valid, crops.annotated) if s.supervised else place_labels(crops.valid)
        # which anchors stay is drawn voxel by voxel, apart in the two views
        rank = key.uniform((len(y), 2, *y.shape[1:])).to(y.device).transpose(0, 1).flatten(0, 1)
        y = torch.cat([y, y])
        if s.sampling == "stride":
            pools = strided_pool(features, y, rank, s.stride)
        else:
            side = s.block or (16 if y.dim() == 3 else 8)
            pools = block_pools(features, y, rank, side, s.blocks)
        # projected after sampling: 128 channels at every voxel would not fit into memory
        groups = len(pools.labels)
        vectors = self.local_projection(pools.features.flatten(0, 1)).unflatten(0, (groups, -1))
        return voxel_contrast(
            vectors,
            pools.labels,
            pools.rank,
            temperature=s.local_temperature,
            form=s.form,
            anchors=s.anchors,
            background_anchors=s.background_anchors,
            background_negatives=s.background_negatives,
        )
