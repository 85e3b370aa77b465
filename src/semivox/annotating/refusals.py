"""Why a request is refused, with the status that HTTP has for it."""

from __future__ import annotations

from semivox.errors import DataError, DiskFault, SemivoxError


class NotThere(DataError):  # noqa: N818
    """No such case."""


class Busy(DataError):  # noqa: N818
    """Another reader has the case open."""


class Overtaken(DataError):  # noqa: N818
    """The label is another one than the reader began with."""


class NotWanted(DataError):  # noqa: N818
    """What was sent is no label of this scan, or no request that the server knows."""


class TooMuch(DataError):  # noqa: N818
    """More was sent than a label of this scan can have."""


STATUS: dict[type[SemivoxError], int] = {
    NotThere: 404,
    Busy: 423,
    Overtaken: 409,
    NotWanted: 400,
    TooMuch: 413,
    DiskFault: 507,
}


def status_of(error: SemivoxError) -> int:
    """HTTP's number for an error; 422 for what is wrong with the data."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 422)
