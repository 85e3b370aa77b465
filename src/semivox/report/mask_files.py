"""Which file of a folder of predictions is a case's mask."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort import ending_of, stem_of


def mask_file(folder: Path, case: str, named: str | None = None) -> Path | None:
    """The mask of ``case`` in ``folder``, or None. The whole name counts: that of another case may begin with
    it, as ``scan1.2`` does with ``scan1``. ``named``: the file that a record names."""
    files = [folder / named] if named else sorted(folder.glob("*"))
    masks = (file for file in files if ending_of(file) is not None and stem_of(file) == case)
    return next(filter(Path.is_file, masks), None)
