"""Streams that cannot be, and what is said of them."""

from __future__ import annotations

import pytest

from semivox.batches import Stream
from semivox.batches.stream import stream_fault


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (Stream("labeled", 3, target="label", where="shared_classes"), "odd"),
        (Stream("all", 2, where="shared_classes"), "have no labels"),
        (Stream("unlabeled", 2, where="foreground"), "have no labels"),
        (Stream("all", 2, target="label"), "have no labels"),
        (Stream("all", 2, target="pseudo"), "'either'"),
        (Stream("labeled", 2, target="pseudo"), "'either'"),
        (Stream("labeled", 2, target="label", confidence=0.5), "confidence"),
        (Stream("unlabeled", 2, target="pseudo", confidence=1.5), "0..1"),
        (Stream("unlabeled", 2, sdm=True), "need a target"),
        (Stream("unlabeled", 2, ("recorp",)), "recrop"),
        (
            Stream("unlabeled", 2, where="boddy"),
            "unknown where='boddy', known are ['random', 'foreground', 'body'",
        ),  # type: ignore[arg-type]
        (Stream("labelled", 2, target="label"), "unknown cases='labelled', known are ['labeled'"),  # type: ignore[arg-type]
        (Stream("labeled", 2, target="lable"), "unknown target='lable'"),  # type: ignore[arg-type]
        (Stream("labeled", 2, target="label", sdm="cropminmax"), "unknown sdm='cropminmax'"),  # type: ignore[arg-type]
        (Stream("labeled", 1.5, target="label"), "size is 1.5"),  # type: ignore[arg-type]
    ],
)
def test_impossible_streams(stream: Stream, why: str) -> None:
    unlabeled = 0 if stream.cases == "labeled" else 3
    assert why in (stream_fault(stream, 5, unlabeled, True) or "")


@pytest.mark.parametrize(
    "stream",
    [
        Stream("labeled", 2, where="shared_classes"),
        Stream("labeled", 3, ("recrop",), "either", "foreground", sdm=True, confidence=0.5),
        Stream("unlabeled", 1, target="pseudo", where="foreground", confidence=1.0),
        Stream("all", 4, target="either", where="shared_classes", sdm="crop_minmax"),
        Stream("all", 3, ("weak", "strong", "intensity", "recrop"), where="body", part=(1, 2)),
    ],
)
def test_possible_streams(stream: Stream) -> None:
    assert stream_fault(stream, 5, 0 if stream.cases == "labeled" else 3, True) is None
