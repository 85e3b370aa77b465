"""The other task for the package's weights, held against its formula."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn.functional import normalize

from semivox.testing.synthetic import random_batch, tiny, tiny_at
from two_renderings import TwoRenderings


def test_a_voxel_is_to_find_itself_among_those_of_its_block() -> None:
    method, facts = tiny(TwoRenderings, dims=2, channels=2, block=4, anchors=0, blocks=0)
    assert isinstance(method, TwoRenderings)
    batch = random_batch(method, facts)
    crops = batch["labeled"]
    crops = replace(crops, valid=torch.ones_like(crops.valid))
    found = method.step({"labeled": crops}, tiny_at(method, facts))["contrast"]

    views = [crops.views["weak"][:, i : i + 1].expand(-1, 2, -1, -1) for i in (0, 1)]
    z = method.local_projection(method.student(torch.cat(views)).features["decoder"])  # (2B, D, X, Y)
    expected = []
    for x in range(0, z.shape[2], 4):
        for y in range(0, z.shape[3], 4):
            block = z[:, :, x : x + 4, y : y + 4].movedim(1, -1)  # (2B, 4, 4, D)
            rows = normalize(block.flatten(0, -2).double(), dim=1)
            s = rows @ rows.T / method.settings.local_temperature
            s.fill_diagonal_(float("-inf"))
            twin = (torch.arange(len(rows)) + len(rows) // 2) % len(rows)
            expected.append(-s.log_softmax(1)[torch.arange(len(rows)), twin].mean())
    torch.testing.assert_close(found.value.double(), torch.stack(expected).mean(), rtol=1e-4, atol=1e-4)
    found.value.backward()
    assert all(p.grad is not None for p in method.student.trunk.parameters())
