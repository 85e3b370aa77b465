"""The words about a method, from the head of the docstring of its module, which is read and not imported::

    UA-MT, the uncertainty-aware mean teacher.

    Idea: the student follows the teacher only where the teacher's dropout samples agree
    Paper: Yu, Wang, Li, Fu, Heng; MICCAI 2019; arXiv 1907.07034
    Basis: published code

``Paper`` may stand several times, or not at all. A line that begins with a blank goes on with the one before.
``Needs`` and ``Dims`` are for methods that want no unlabelled scans, or not both of 2D and 3D.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

KEYS = ("Idea", "Paper", "Basis", "Needs", "Dims")
LINE = re.compile(rf"({'|'.join(KEYS)}): (.+)")
PAPER = re.compile(r"(?P<authors>[^;]+); (?P<venue>.+?) (?P<year>\d{4})(?: \([^)]*\))?(?:; (?P<link>.+))?")


@dataclass(frozen=True)
class Paper:
    """One paper; ``link`` is such as "arXiv 1907.07034", "" where none is given."""

    authors: tuple[str, ...]
    venue: str
    year: int
    link: str = ""

    def __str__(self) -> str:
        """``"Yu et al., MICCAI 2019"``"""
        names = " & ".join(self.authors) if len(self.authors) < 3 else f"{self.authors[0]} et al."
        return f"{names}, {self.venue} {self.year}"


@dataclass(frozen=True)
class Words:
    """What is said of a method in one place; ``basis``: what its settings were taken from."""

    idea: str = ""
    papers: tuple[Paper, ...] = ()
    basis: str = ""
    needs: str = "labelled + unlabelled"
    dims: str = "2D, 3D"

    @property
    def cited(self) -> str:
        """All papers in short; "" where there is none."""
        return "; ".join(map(str, self.papers))


def split_words(docstring: str | None) -> tuple[Words | None, str]:
    """The words of a module's docstring, None where it has no ``Idea``, and the docstring without them.

    Raises ValueError for a paper that is not written as above.
    """
    text = inspect.cleandoc(docstring or "")
    paragraphs = text.split("\n\n")
    place = next((i for i, p in enumerate(paragraphs) if p.startswith("Idea: ")), None)
    if place is None:
        return None, text
    lines = [LINE.fullmatch(line) for line in re.sub(r"\n\s+", " ", paragraphs.pop(place)).splitlines()]
    found = [(match[1], match[2]) for match in lines if match]
    last = {key.lower(): value for key, value in found if key != "Paper"}
    papers = tuple(_paper(value) for key, value in found if key == "Paper")
    return Words(papers=papers, **last), "\n\n".join(paragraphs)


def _paper(text: str) -> Paper:
    match = PAPER.fullmatch(text)
    if match is None:
        raise ValueError(f"a paper is written 'Names; Venue 2019; arXiv ...', not {text!r}")
    return Paper(tuple(match["authors"].split(", ")), match["venue"], int(match["year"]), match["link"] or "")


@cache
def words_in(module: str) -> Words:
    """The words of a module of ours, by its dotted name; empty ones where its source is not there."""
    spec = find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return Words()
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return split_words(ast.get_docstring(tree))[0] or Words()
