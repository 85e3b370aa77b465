"""Kinds of numbers that settings and options are, each with the range in which it means something.

A setting is declared with one of these types; a value outside is refused by name wherever it was given, and
the reference of settings shows the range.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

LARGE = 1e6

Weight = Annotated[float, Field(ge=0, le=LARGE)]
"""Of a term of the loss, or another amount that may be nothing."""
Amount = Annotated[float, Field(gt=0, le=LARGE)]
"""What is nothing without being more than 0, such as a temperature."""
Signed = Annotated[float, Field(ge=-LARGE, le=LARGE)]
Share = Annotated[float, Field(ge=0, le=1)]
"""A share or a probability."""
SomeShare = Annotated[float, Field(gt=0, le=1)]
NotAll = Annotated[float, Field(ge=0, lt=1)]
"""A share that leaves something: of dropped channels, of a moving average, of a run."""
Degrees = Annotated[float, Field(ge=0, le=180)]
Factor = Annotated[float, Field(gt=0, le=100)]
Coarser = Annotated[float, Field(ge=1, le=100)]
"""A factor that makes no voxel finer."""
Axis = Annotated[int, Field(ge=0, le=2)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
SomeSeconds = Annotated[float, Field(gt=0, le=1e9)]
Steps = Annotated[int, Field(ge=1, le=10**9)]
Count = Annotated[int, Field(ge=1, le=10**6)]
CountOrNone = Annotated[int, Field(ge=0, le=10**6)]
Remembered = Annotated[int, Field(ge=0, le=2**16)]
"""Vectors of earlier steps: every place of a step is compared with each of them."""
Compared = Annotated[int, Field(ge=1, le=2**14)]
"""Places of a crop that are compared with each other: twice as many take four times the memory."""
ComparedOrNone = Annotated[int, Field(ge=0, le=2**14)]
Width = Annotated[int, Field(ge=1, le=2**12)]
"""Numbers in a vector."""
Few = Annotated[int, Field(ge=1, le=100)]
FewOrNone = Annotated[int, Field(ge=0, le=100)]
MOST_PROCESSES = 1024
"""A system that is asked for many more threads ends the process."""
Processes = Annotated[int, Field(ge=1, le=MOST_PROCESSES)]
"""Of threads, processes or machines."""
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
