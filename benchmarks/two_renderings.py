"""Contrast between two renderings of one label map: the other task for the package's weights.

Idea: a voxel finds itself in another rendering of its anatomy
Basis: ours

    OMP_NUM_THREADS=1 python benchmarks/generated_scans.py pairs --scans 1000 --shape 72 72 10 \\
        --spacing 3 3 6.6667 --channels 2 --seed 1
    semivox train pairs --out run --method benchmarks/two_renderings.py:TwoRenderings --steps 830 \\
        --threads 1 --set run.warm_up=0 --set plan.rung=1 --set "plan.patch=[56,56,8]"
    python benchmarks/generated_weights.py run contrast
    semivox compare DATA/train --test DATA/dev ... --set run.init=contrast --set run.fresh_heads=true

It loses (docs/results.md, "Weights learned from generated scans").

Two channels of a generated scan are one anatomy with two sets of intensities, scanned twice. The network sees
each of them twice, as both of its channels, so that it can begin a network of one channel. With z the
projected features of its last level, s their cosine over tau, a voxel a and the same voxel a' of the other
rendering, within blocks that hold k (``supervised=true``: with all voxels of its class for positives):

    L = mean over a of -log exp s(a, a') / sum over k other than a of exp s(a, k)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from semivox.batches import Stream
from semivox.methods.declare import At, Batch, Facts, Optimizer, Player, Stage, Term
from semivox.methods.local_contrast import LocalContrast, LocalContrastSettings
from semivox.ranges import NotAll

ADAM = Optimizer("adam", lr=1e-3, weight_decay=1e-5, schedule="cosine", clip=0)


@dataclass(frozen=True)
class TwoRenderingsSettings(LocalContrastSettings):
    supervised: bool = False
    """Positives: the same voxel in the other rendering; on: all voxels of its class in both. [ours]"""
    background_anchors: bool = True
    """The background has parts of its own, so its voxels are anchors, too. [ours]"""
    dropout: NotAll = 0.0
    """Share of channels dropped: none. [ours]"""


class TwoRenderings(LocalContrast):
    Settings = TwoRenderingsSettings
    paper: ClassVar[Mapping[str, Any]] = {}
    needs_unlabeled: ClassVar[bool] = False

    def stages(self, facts: Facts) -> Sequence[Stage]:
        pairs = Stream("labeled", size=facts.batch[0], target="label", where="foreground")
        player = Player("segmenter", ("student", "local_projection"), ADAM)
        return [Stage("renderings", {"labeled": pairs}, (player,), self.pairs())]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        crops = batch["labeled"]
        one, other = (x.expand(-1, 2, *x.shape[2:]) for x in crops.views["weak"].split(1, 1))  # (B, 2, ...)
        views = replace(crops, views={"weak": one, "intensity": other})
        return {"contrast": Term(self._local_contrast(views, at.rng("anchors")))}
