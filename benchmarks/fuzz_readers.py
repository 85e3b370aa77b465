"""Damaged files of every format, read by semivox: what of them ends the process, hangs or takes the memory.

``python benchmarks/fuzz_readers.py --files 100000 --out fuzz.json``: sound small files are damaged (bits,
cuts, splices, hostile numbers in headers, checksums mended afterwards where a reader would stop at them) and
read in a child process with a limit on its address space. File N is the same in every call. A stopped call
goes on where ``fuzz.json`` ends. The table counts, for each format, files read, files refused with an error
that names the file, and what must be 0: deaths, other exceptions, files that took more than 10 s, and files
that took more memory than four times their size and 200 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import resource
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_dicom import damaged_archive, damaged_object
from mortal_children import outcomes
from resident import resident

LONGEST = 10.0
SILENCE = 30 * LONGEST
"""Seconds without a word after which the process is ended; those of a busy machine are many."""
MOST_BYTES = 200 * 2**20
ADDRESS_SPACE = 8 * 2**30
OUTCOMES = ("read", "refused", "death", "exception", "slow", "memory")
WHOLE = [
    0,
    1,
    -1,
    2,
    3,
    5,
    7,
    127,
    128,
    255,
    256,
    32767,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**63 - 1,
]
TEXTS = [
    *map(str, WHOLE), "9" * 30, "1e30", "1e-30", "nan", "inf", "-inf", "0.0", "-0", "x", "", "1 1", "true",
    "LIST", "%d", "\xe9",
]  # fmt: skip

Mutation = Callable[[np.random.Generator, bytearray, bytes], bytearray]


def flip_bits(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    """A few bits, half of the time near the start."""
    most = len(data) if rng.integers(2) else min(len(data), 400)
    for place in rng.integers(0, most, rng.integers(1, 9)):
        data[place] ^= 1 << rng.integers(8)
    return data


def cut(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    return data[: rng.integers(len(data))]


def leave_out(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    start = rng.integers(len(data))
    return data[:start] + data[start + rng.integers(1, 64) :]


def splice(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    """A piece of another file of the format in the place of one of this, or between two."""
    start, length = rng.integers(len(data)), int(rng.integers(1, 200))
    place = rng.integers(len(other))
    over = length if rng.integers(2) else 0
    return data[:start] + other[place : place + length] + data[start + over :]


def hostile_number(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    """A number of 1 to 8 bytes or a float, on a place that divides by its length."""
    most = len(data) if rng.integers(2) else min(len(data), 400)
    for _ in range(rng.integers(1, 4)):
        order = rng.choice(["<", ">"])
        kind = str(rng.choice(["b", "h", "i", "q", "f", "d"]))
        size = struct.calcsize(kind)
        if most < size:
            break
        if kind in "fd":
            value = struct.pack(order + kind, float(rng.choice([0, -1, 1e30, 1e-30, np.nan, np.inf, 2.5])))
        else:
            whole = int(WHOLE[rng.integers(len(WHOLE))]) % 2 ** (8 * size)
            value = whole.to_bytes(size, "little" if order == "<" else "big")
        place = int(rng.integers(0, most - size + 1)) // min(size, 2) * min(size, 2)
        data[place : place + size] = value
    return data


def hostile_words(rng: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    """Words of a text header, or whole lines of it, become others."""
    words = [match.span() for match in re.finditer(rb"[^\s=:(),]+", bytes(data[:600]))]
    for _ in range(rng.integers(1, 4)):
        if words:
            start, end = words[rng.integers(len(words))]
            data[start:end] = TEXTS[rng.integers(len(TEXTS))].encode("latin-1")
            words = [match.span() for match in re.finditer(rb"[^\s=:(),]+", bytes(data[:600]))]
    if not rng.integers(4):
        lines = bytes(data).split(b"\n")
        a, b = rng.integers(len(lines), size=2)
        lines[a] = lines[b]
        data = bytearray(b"\n".join(lines))
    return data


STRUCTURED = {".dcm": damaged_object, ".zip": damaged_archive}
"""Three of four files of these endings are damaged by their structure, the others as all are."""
MUTATIONS: tuple[Mutation, ...] = (flip_bits, cut, leave_out, splice, hostile_number, hostile_number)


def damaged(rng: np.random.Generator, seeds: dict[str, list[Path]]) -> tuple[Path, bytes]:
    """A sound file to take the place of, and damaged bytes."""
    ending = list(seeds)[rng.integers(len(seeds))]
    seed, second = (seeds[ending][rng.integers(len(seeds[ending]))] for _ in range(2))
    data, other = seed.read_bytes(), second.read_bytes()
    if seed.suffix in STRUCTURED and rng.integers(4):
        return seed, STRUCTURED[seed.suffix](rng, data)
    text = data.startswith((b"NRRD", b"ObjectType"))
    packed = data.startswith(b"\x1f\x8b") and rng.integers(4) > 0
    if packed:
        data, other = (
            zlib.decompress(one, 31) if one.startswith(b"\x1f\x8b") else one for one in (data, other)
        )
    kinds = (*MUTATIONS, *[hostile_words] * (6 if text else 0))
    made = bytearray(data)
    for _ in range(rng.integers(1, 3)):
        if made:
            made = kinds[rng.integers(len(kinds))](rng, made, other)
    if seed.suffix == ".png" and rng.integers(4):
        made = with_checksums(made)
    return seed, zlib_packed(bytes(made)) if packed else bytes(made)


def zlib_packed(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def with_checksums(data: bytearray) -> bytearray:
    """A PNG whose chunks have the checksums of what they hold now."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return data


def read_all(path: Path) -> tuple[str, str]:
    """Outcome of reading a file in every way, and a word on it."""
    from semivox.cohort import read_geometry, read_label, read_volume
    from semivox.cohort.formats import read_note
    from semivox.errors import SemivoxError

    outcome = "refused"
    for reader in (read_geometry, read_volume, read_label, read_note):
        try:
            reader(path)
            outcome = "read" if reader is read_volume else outcome
        except SemivoxError as error:
            if error.path is None or path.name not in str(error):
                return "exception", f"does not name the file: {error}"[:200]
        except BaseException as error:
            return "exception", f"{type(error).__name__}: {error}"[:200]
    return outcome, ""


def child(first: int, last: int, seed: int, endings: str, inside: Path) -> None:
    """Read the files ``first`` to ``last``, made ``inside`` a folder, a line before and after each."""
    from fuzz_seeds import write_seeds

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with tempfile.TemporaryDirectory(dir=inside) as name:
        folder = Path(name)
        seeds = write_seeds(folder)
        for paths in seeds.values():
            for path in paths:
                read_all(path)  # whatever is loaded once does not count for the first file
        seeds = {ending: seeds[ending] for ending in endings.split(",")} if endings else seeds
        shelf = folder / "damaged"
        shelf.mkdir()
        for companion in ("voxels.raw", "voxels.gz", "pair.img"):
            shutil.copy(folder / companion, shelf)
        for number in range(first, last):
            sound, content = damaged(np.random.default_rng([seed, number]), seeds)
            path = shelf / sound.name
            path.write_bytes(content)
            print(json.dumps({"n": number, "file": sound.name}), flush=True)
            Path("/proc/self/clear_refs").write_text("5")  # the peak is forgotten (Linux)
            before, started = resident("VmHWM"), time.perf_counter()
            outcome, said = read_all(path)
            seconds, more = time.perf_counter() - started, resident("VmHWM") - before
            if seconds > LONGEST:
                outcome = "slow"
            elif more > MOST_BYTES + 4 * len(content):
                outcome, said = "memory", f"{more / 2**20:.0f} MiB for {len(content)} bytes"
            path.unlink()
            line = {"n": number, "outcome": outcome, "said": said, "seconds": seconds, "mib": more / 2**20}
            print(json.dumps(line), flush=True)


def run(
    first: int,
    last: int,
    seed: int,
    limit_s: float = 1e9,
    child: Sequence[str] = (sys.executable, __file__),
    endings: str = "",
) -> dict[str, Any]:
    """Counts by ending and outcome of the files ``first`` to ``last``, or as many as there is time for; the
    bad ones by number. ``child`` is given ``--child FIRST LAST SEED``, endings and a folder."""
    counts: dict[str, Counter[str]] = {}
    bad: list[dict[str, Any]] = []
    slowest = most = 0.0
    ends = time.monotonic() + limit_s
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="fuzz")
        )  # a killed child leaves its own
        words = [str(last), str(seed), "--endings", endings, "--folder", folder]
        tries = outcomes(lambda n: [*child, "--child", str(n), *words], first, last, SILENCE)
        for one in stack.enter_context(contextlib.closing(tries)):
            outcome = "slow" if one["outcome"] == "hang" else one["outcome"]
            counts.setdefault(ending_of(one["file"]), Counter())[outcome] += 1
            slowest, most = max(slowest, one.get("seconds", 0)), max(most, one.get("mib", 0))
            if outcome not in ("read", "refused"):
                bad.append({**one, "outcome": outcome})
            first = one["n"] + 1
            if time.monotonic() > ends:
                break
    return {"next": first, "counts": counts, "bad": bad, "slowest_s": slowest, "most_mib": most}


def ending_of(name: str) -> str:
    from semivox.cohort import ENDINGS

    return next(ending for ending in ENDINGS if name.endswith(ending))


def table(found: dict[str, Any]) -> str:
    rows = [["ending", "files", *OUTCOMES], ["---"] * (2 + len(OUTCOMES))]
    total: Counter[str] = Counter()
    for ending, counts in sorted(found["counts"].items()):
        total.update(counts)
        rows.append(row_of(ending, counts))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [*rows, row_of("all", total)])


def row_of(name: str, counts: Mapping[str, int]) -> list[str]:
    return [name, str(sum(counts.values())), *(str(counts.get(outcome, 0)) for outcome in OUTCOMES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--endings", default="", help="of these formats alone, such as .dcm,.zip,.seg.dcm")
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child, given.endings, given.folder)
        return
    found: dict[str, Any] = {"next": 0, "counts": {}, "bad": [], "slowest_s": 0.0, "most_mib": 0.0}
    if given.out is not None and given.out.is_file():
        found = json.loads(given.out.read_text())
    ends = time.monotonic() + 60 * given.minutes
    while found["next"] < given.files and time.monotonic() < ends:
        last = min(found["next"] + 2000, given.files)
        more = run(found["next"], last, given.seed, ends - time.monotonic(), endings=given.endings)
        for ending, counts in more["counts"].items():
            found["counts"][ending] = dict(Counter(found["counts"].get(ending, {})) + counts)
        found["bad"] += more["bad"]
        found["next"] = more["next"]
        for name in ("slowest_s", "most_mib"):
            found[name] = max(found[name], more[name])
        if given.out is not None:
            given.out.write_text(json.dumps(found, indent=1))
        print(f"{found['next']} files, {len(found['bad'])} bad", file=sys.stderr, flush=True)
    print(table(found))
    print(f"slowest {found['slowest_s']:.2f} s, most memory {found['most_mib']:.0f} MiB")
    for one in found["bad"][:50]:
        print(one)


if __name__ == "__main__":
    main()
