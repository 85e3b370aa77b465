"""Decoding in a process of its own, which may die, hang or want all the memory: then one file fails, not all.

For decoders of other people that are neither simple nor fed with files from everywhere. The process is
started for the first such file and kept; it reads requests from its standard input and ends with it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from semivox.errors import DataError

PATIENCE_S = 60.0
"""A decoder that takes longer, and a second more for every 10 MB, hangs."""
BYTES_PER_SECOND = 10e6
SPARE_BYTES = 1 << 30
"""Memory that a decoder may take besides four times its result."""

_lock = threading.Lock()
_worker: subprocess.Popen[bytes] | None = None
_owner = 0


def decode_apart(decoder: str, path: Path, nbytes: int, content: bytes | None = None) -> np.ndarray:
    """``function(path)`` or, where it is given, ``function(content)`` of ``decoder``, a "module:function"
    that the program names: an array of about ``nbytes``. ``path`` is named in errors.

    Raises DataError where the process died or was ended since it took too long, and ValueError with what the
    function raised.
    """
    size = None if content is None else len(content)
    request = json.dumps({"decoder": decoder, "path": str(path), "nbytes": nbytes, "content": size})
    ends = time.monotonic() + PATIENCE_S + nbytes / BYTES_PER_SECOND
    with _lock:
        worker = _started()
        assert worker.stdin is not None
        try:
            worker.stdin.write(request.encode() + b"\n" + (content or b""))
            worker.stdin.flush()
            told = json.loads(_line(worker, ends))
            if "error" in told:
                raise ValueError(told["error"])
            array = np.empty(told["shape"], np.dtype(told["dtype"]))
            _fill(worker, array.reshape(-1).view(np.uint8).data, ends)
        except (OSError, EOFError, TimeoutError) as error:
            raise _ended(path, error, _stop()) from None
        except BaseException as error:
            if not isinstance(error, ValueError) or isinstance(error, json.JSONDecodeError):
                _stop()  # whatever it still says belongs to no request
            raise
    return array


def _started() -> subprocess.Popen[bytes]:
    global _worker, _owner
    if _worker is not None and (_owner != os.getpid() or _worker.poll() is not None):
        _worker = None
    if _worker is None:
        code = "from semivox.cohort.decoding_apart import serve; serve()"
        _worker = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        _owner = os.getpid()
    return _worker


def _stop(patience_s: float = 0.2) -> int | None:
    """End the process, if it is ours; its exit code, if it has ended itself."""
    global _worker
    worker, _worker = _worker, None
    if worker is None or _owner != os.getpid():
        return None
    try:
        code: int | None = worker.wait(patience_s)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
        code = None
    for pipe in (worker.stdin, worker.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    return code


atexit.register(_stop, 0.0)


def _ended(path: Path, error: BaseException, code: int | None) -> DataError:
    if isinstance(error, TimeoutError):
        found = f"no end after {PATIENCE_S:g} s and more: it was stopped"
    elif code is not None and code < 0:
        found = f"the decoder ended with signal {-code} ({signal.Signals(-code).name})"
    else:
        found = f"the decoder ended with exit code {code}"
    return DataError(
        "the decoder of this file did not survive it",
        path=path,
        found=found,
        expected="a whole file",
        remedy="save it anew with the program that wrote it, without this compression, or leave the case out",
    )


def _line(worker: subprocess.Popen[bytes], ends: float) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += _some(worker, 1, ends)
        if len(line) > 1 << 16:
            raise EOFError
    return line


def _fill(worker: subprocess.Popen[bytes], view: memoryview, ends: float) -> None:
    done = 0
    while done < len(view):
        piece = _some(worker, min(len(view) - done, 1 << 20), ends)
        view[done : done + len(piece)] = piece
        done += len(piece)


def _some(worker: subprocess.Popen[bytes], most: int, ends: float) -> bytes:
    assert worker.stdout is not None
    number = worker.stdout.fileno()
    if not select.select([number], [], [], max(0.0, ends - time.monotonic()))[0]:
        raise TimeoutError
    piece = os.read(number, most)
    if not piece:
        raise EOFError
    return piece


def serve() -> None:
    """The process: a request a line, until there are no more. What decoders print goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's stop is for the program: it ends this one
    for line in sys.stdin.buffer:
        request = json.loads(line)
        given = (
            Path(request["path"]) if request["content"] is None else sys.stdin.buffer.read(request["content"])
        )
        try:
            _limit(4 * request["nbytes"] + SPARE_BYTES)
            module, _, name = request["decoder"].partition(":")
            array = np.ascontiguousarray(getattr(import_module(module), name)(given))
            head: dict[str, Any] = {"shape": array.shape, "dtype": array.dtype.str}
        except Exception as error:
            array, head = np.empty(0), {"error": f"{type(error).__name__}: {error}"[:1000]}
        answers.write(json.dumps(head).encode() + b"\n")
        answers.write(array.reshape(-1).view(np.uint8).data)
        answers.flush()


def _limit(more: int) -> None:
    """The address space that the process has, and ``more`` bytes; where the system knows such a limit."""
    try:
        import resource

        import psutil

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = psutil.Process().memory_info().vms + more
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
        )
    except (ImportError, ValueError, OSError):
        return
