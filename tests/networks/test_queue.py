"""The queue: newest first in, oldest first out, and nobody meets their own case."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.networks import Queue


def rows(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, 3).clone()


def held(queue: Queue) -> set[tuple[float, int, int]]:
    at = queue.filled
    return {
        (float(v[0]), int(c), int(y))
        for v, c, y in zip(queue.vectors[at], queue.case[at], queue.label[at], strict=True)
    }


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 7), st.lists(st.integers(0, 17), max_size=6))
def test_it_holds_the_newest(size: int, pushes: list[int]) -> None:
    """Against a deque, with pushes of any size: smaller, larger, around the end, none."""
    queue, expected, count = Queue(size, 3), deque(maxlen=size), 1
    for n in pushes:
        values = list(range(count, count + n))
        count += n
        number = torch.tensor(values, dtype=torch.int64)
        queue.push(rows(values), number + 100, number + 200)
        expected.extend((float(v), v + 100, v + 200) for v in values)
        assert held(queue) == set(expected)
        assert queue.filled.sum() == len(expected)


def test_its_own_case_and_empty_slots_are_excluded() -> None:
    queue = Queue(5, 3)
    assert queue.exclude(torch.tensor([0, 7])).all()  # nothing there yet
    queue.push(rows([1, 2, 3]), torch.tensor([7, 0, 7]))
    expected = [[False, True, False, True, True], [True, False, True, True, True], [False] * 3 + [True] * 2]
    assert queue.exclude(torch.tensor([0, 7, 3])).tolist() == expected
    assert queue.label.tolist() == [0] * 5
    queue.push(rows([9]), torch.tensor([-1]))  # no case: an empty slot
    assert queue.exclude(torch.tensor([0, 7, 3, -1]))[:, 3].all()


def test_state_is_a_checkpoint() -> None:
    one, two = Queue(4, 3), Queue(4, 3)
    one.push(rows([1, 2, 3]), torch.arange(3), torch.arange(3))
    state = {name: value.clone() for name, value in one.state_dict().items()}
    assert set(state) == {"vectors", "case", "label", "position"}
    two.load_state_dict(state)
    for queue in (one, two):
        queue.push(rows([4, 5]), torch.tensor([3, 4]))
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), two.buffers(), strict=True))
    assert held(two) == {(5.0, 4, 0), (2.0, 1, 1), (3.0, 2, 2), (4.0, 3, 0)}


def test_a_push_neither_carries_gradients_nor_breaks_the_backward_pass_of_this_step() -> None:
    queue = Queue(2, 3)
    queue.push(rows([1, 2]), torch.arange(2))
    z = torch.randn(2, 3, requires_grad=True)
    loss = (z @ queue.vectors.T).sum()
    queue.push(z, torch.arange(2))
    loss.backward()
    assert torch.equal(z.grad, torch.full((2, 3), 3.0))
    assert not queue.vectors.requires_grad


def test_wrong_shapes_are_refused() -> None:
    queue = Queue(2, 3)
    with pytest.raises(ValueError, match="vectors"):
        queue.push(torch.zeros(2, 4), torch.arange(2))
    with pytest.raises(ValueError, match="cases"):
        queue.push(torch.zeros(2, 3), torch.arange(3))
    with pytest.raises(ValueError, match="at least 1"):
        Queue(0, 3)
