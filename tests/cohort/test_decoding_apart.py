"""A decoder that dies, hangs or takes the memory costs its own file; the next one is decoded."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from semivox.cohort import decoding_apart
from semivox.cohort.decoding_apart import decode_apart
from semivox.errors import DataError

DECODERS = """
import os, signal, sys, time
import numpy as np

def size(path):
    return np.arange(path.stat().st_size, dtype=">i2").reshape(-1, 2)

def reverse(content):
    return np.frombuffer(content[::-1], np.uint8)

def empty(path):
    return np.empty((0, 3), np.uint8)

def die(path):
    os.kill(os.getpid(), signal.SIGSEGV)

def leave(path):
    os._exit(7)

def hang(path):
    time.sleep(60)

def fill(path):
    return np.ones(1 << 34, np.uint8)

def fail(path):
    raise KeyError("no such thing")

def chat(path):
    print("a word on standard output")
    os.write(1, b"and one past Python")
    return size(path)

def process(path):
    return np.array([os.getpid()])
"""


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "poor_decoders.py").write_text(DECODERS)
    monkeypatch.syspath_prepend(tmp_path)
    decoding_apart._stop()  # the next one sees the new path
    path = tmp_path / "scän \udcff.tif"
    path.write_bytes(bytes(10))
    return path


def decode(name: str, path: Path, nbytes: int = 100) -> np.ndarray:
    return decode_apart(f"poor_decoders:{name}", path, nbytes)


def test_an_array_comes_back_as_it_was(scan):
    for name in ("size", "chat"):
        found = decode(name, scan)
        np.testing.assert_array_equal(found, np.arange(10).reshape(5, 2))
        assert found.dtype == np.dtype(">i2")
    assert decode("empty", scan).shape == (0, 3)
    content = bytes(range(256)) * 999 + b"\n"
    found = decode_apart("poor_decoders:reverse", scan, len(content), content)
    assert found.tobytes() == content[::-1]
    first, second = decode("process", scan)[0], decode("process", scan)[0]
    assert first == second != os.getpid()


@pytest.mark.parametrize(
    ("name", "words"), [("die", "signal 11 .SIGSEGV"), ("leave", "exit code 7"), ("hang", "it was stopped")]
)
def test_a_decoder_that_does_not_survive_its_file_is_told_and_replaced(scan, monkeypatch, name, words):
    decode("size", scan)
    monkeypatch.setattr(decoding_apart, "PATIENCE_S", 1.0 if name == "hang" else 60.0)
    with pytest.raises(DataError, match=words) as caught:
        decode(name, scan)
    assert caught.value.path == scan
    assert caught.value.remedy
    monkeypatch.setattr(decoding_apart, "PATIENCE_S", 60.0)
    np.testing.assert_array_equal(decode("size", scan), np.arange(10).reshape(5, 2))


def test_what_a_decoder_raises_is_told_and_it_goes_on(scan):
    before = decode("process", scan)[0]
    with pytest.raises(ValueError, match="KeyError: 'no such thing'"):
        decode("fail", scan)
    with pytest.raises(ValueError, match="MemoryError"):
        decode("fill", scan)
    assert decode("process", scan)[0] == before


def test_threads_take_turns(scan):
    barrier = threading.Barrier(4)

    def work(number: int) -> int:
        barrier.wait()
        return int(decode("size" if number % 2 else "chat", scan).sum())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [45] * 4


def test_the_process_ends_with_the_program(scan):
    number = int(decode("process", scan)[0])
    decoding_apart._stop()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
