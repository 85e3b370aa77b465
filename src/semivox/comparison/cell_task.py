"""A cell of a comparison as a task for another process."""

from __future__ import annotations

from typing import Any

from semivox.comparison.cells import read_failure
from semivox.comparison.options import CompareOptions
from semivox.comparison.request import read_request
from semivox.comparison.work import work_here
from semivox.engines import Tell
from semivox.errors import PartialFailure
from semivox.training.display import Silent


def do_cell(tell: Tell, options: dict[str, Any], number: int) -> None:
    """Do cell ``number`` of what ``options`` ask for. Raises PartialFailure with what went wrong."""
    request = read_request(CompareOptions(**options))
    cell = request.cells()[number - 1]
    if work_here(request, [cell], _Teller(tell, number), wait=False):
        failure = read_failure(cell)
        raise PartialFailure("is not finished" if failure is None else failure["message"], path=cell.folder)


class _Teller(Silent):
    """Says what it is told, with the cell's number before it; details are kept back."""

    def __init__(self, tell: Tell, number: int) -> None:
        self._tell, self._number = tell, number

    def say(self, text: str) -> None:
        self._tell(f"[{self._number}] {text.strip()}")

    def detail(self, text: str) -> None: ...
