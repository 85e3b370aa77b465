"""The lists that ``compare`` takes, and a name for each entry that is a file name on every system."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semivox.cohort import LabeledSet, sha256_file
from semivox.cohort.split import COUNT, one_way
from semivox.errors import SettingsError
from semivox.methods import load_method
from semivox.methods.catalog import CATALOG, parse_method
from semivox.methods.trust import code_sha256, is_file

ALL, AUTO = "all", "auto"
LONGEST = 80
OPEN, CLOSE = "{[", "}]"


@dataclass(frozen=True)
class Choice:
    """An entry of a list: ``text`` as ``train`` takes it, ``name`` for folders and tables."""

    text: str
    name: str


def split_list(text: str) -> list[str]:
    """The entries between commas, stripped; commas inside {} and [] do not count, empty entries vanish.

    Raises SettingsError where a bracket has no partner.
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in OPEN) - (letter in CLOSE)
        if depth < 0:
            break
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise SettingsError(
            "a list has brackets without a partner",
            found=repr(text),
            expected="NAME,NAME{KEY=VALUE,...}",
            remedy="quote lists with brackets, as shells have their own use for them",
        )
    return [part.strip() for part in parts if part.strip()]


def entries(given: object) -> list[str]:
    """The entries of a list given as text, as one value, or as a sequence of them."""
    items: Iterable[object] = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return [part for item in items for part in split_list(str(item))]


def read_methods(
    given: str | Sequence[str], reference: str, kept: Mapping[str, str] | None = None
) -> tuple[tuple[Choice, ...], Choice, bool]:
    """The methods, the reference, and whether it had to be added (then it comes first).

    ``all`` stands for the whole catalogue. ``kept``: name -> text of the variants that the comparison's
    folder has. The name of a method that is not ours holds a part of the hash of its code, which is imported
    for that where it is in a package: ``given`` and ``reference`` are what the user names. Raises
    SettingsError for none, or text that is no method.
    """
    kept = kept or {}
    texts = [name for part in entries(given) for name in (CATALOG if part == ALL else [part])]
    if not texts:
        raise SettingsError("no method to compare", expected="names, see `semivox methods`, or all")
    chosen = list(dict.fromkeys(_method(text, kept) for text in texts))
    first = _method(reference, kept)
    return (tuple(chosen), first, False) if first in chosen else ((first, *chosen), first, True)


def read_labeled(given: LabeledSet | Sequence[LabeledSet] | None) -> tuple[Choice, ...]:
    """The labelled sets, each once by its name; ``all`` (and None) is every case with a label file. The name
    of a file's set holds a part of the file's hash: other names in it are another set."""
    chosen: dict[str, Choice] = {}
    for text in map(one_way, entries(ALL if given is None else given)):
        if text == ALL or COUNT.fullmatch(text):
            chosen.setdefault(safe_name(text), Choice(text, safe_name(text)))
            continue
        file = Path(text)
        if not file.is_file():
            raise SettingsError(
                "an entry of --labeled is neither a number nor a file",
                found=repr(text),
                expected="8, 7p, 8@3, 7p@3, all, or a file with one case name a line",
            )
        name = safe_name(file.stem, sha256_file(file))
        chosen.setdefault(name, Choice(str(file.absolute()), name))
    if not chosen:
        raise SettingsError("--labeled names no set", expected="such as 4,8,all")
    return tuple(chosen.values())


def read_seeds(given: str | int | Sequence[int] | None) -> tuple[int, ...]:
    """Whole numbers, each once."""
    texts = entries(0 if given is None else given)
    wrong = [text for text in texts if not re.fullmatch(r"-?\d+", text)]
    if wrong or not texts:
        raise SettingsError("--seeds are whole numbers", found=", ".join(wrong) or "none", expected="0,1,2")
    return tuple(dict.fromkeys(int(text) for text in texts))


def safe_name(text: str, digest: str | None = None) -> str:
    """``simcvd{contrast=0}`` -> ``simcvd+contrast=0``, ``cvrl:miccai`` -> ``cvrl-miccai``.

    Lower case, without what Windows or a shell minds. Where that loses something of ``text``, and where
    ``digest`` is given, 8 digits of a hash make the name unique.
    """
    plain = text.replace("{", "+").replace(",", "+").replace("}", "").replace(":", "-")
    safe = re.sub(r"[^a-z0-9._=+@-]", "-", plain.lower())[:LONGEST].strip(".-")
    if safe == plain and digest is None:
        return safe
    return f"{safe}~{(digest or hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest())[:8]}"


def _method(text: str, kept: Mapping[str, str]) -> Choice:
    """Its settings sorted by name and spaces left out, so that one variant is written one way."""
    name, _, _ = parse_method(text)  # raises for what it cannot read
    if name == AUTO:
        raise SettingsError(
            "a comparison is of methods by name", found=AUTO, expected="names, see `semivox methods`, or all"
        )
    head, _, rest = text.strip().partition("{")
    pairs = (part.partition("=") for part in split_list(rest.rstrip().removesuffix("}")))
    inside = ",".join(sorted(f"{key.strip()}={value.strip()}" for key, _, value in pairs))
    written = head.strip() + (f"{{{inside}}}" if inside else "")
    file = Path(name.rpartition(":")[0])
    if is_file(name):
        if not file.is_file():
            raise SettingsError("the method's file is missing", path=file)
        code: str | None = sha256_file(file)
        shown = f"{file.stem}.{written.partition('.py:')[2]}"
    else:
        # earlier versions named those of packages by their text alone
        old = name in CATALOG or kept.get(safe_name(written)) == written
        code, shown = None if old else code_sha256(name, load_method(name)), written
    if code is None:
        return Choice(written, safe_name(shown))
    # other code is another method
    digest = hashlib.sha256(f"{code}{written}".encode(errors="surrogatepass")).hexdigest()
    return Choice(written, safe_name(shown, digest))
