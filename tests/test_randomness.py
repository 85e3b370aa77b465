from __future__ import annotations

import numpy as np
import torch

from semivox.randomness import BatchKey, Key


def test_same_key_same_numbers_and_no_global_state() -> None:
    before = torch.random.get_rng_state()
    a, b = Key(0, "crop") / 3, Key(0) / "crop" / 3
    assert a.numpy().random() == b.numpy().random()
    assert torch.equal(torch.rand(4, generator=a.torch()), torch.rand(4, generator=b.torch()))
    assert torch.equal(before, torch.random.get_rng_state())


def test_every_part_counts_and_numbers_are_not_names() -> None:
    keys = [Key(0), Key(1), Key("0"), Key(0) / "a", Key(0) / "b", Key(0) / "a" / 0, Key(0) / "a/0"]
    assert len({key.digest() for key in keys}) == len(keys)
    numbers = np.array([key.numpy().random(1000) for key in keys])
    off_diagonal = np.corrcoef(numbers) - np.eye(len(keys))
    assert abs(off_diagonal).max() < 0.15


def test_a_part_of_the_batch_draws_what_the_whole_draws() -> None:
    whole = BatchKey(Key(7)).normal((5, 3))
    assert torch.equal(BatchKey(Key(7), first=2).normal((2, 3)), whole[2:4])
    assert not torch.equal(whole[0], whole[1])
    uniform = BatchKey(Key(7)).uniform((5, 1000))
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
