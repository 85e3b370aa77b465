"""Lists as people write them, and names that every file system takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from semivox.comparison.variants import (
    Choice,
    entries,
    read_labeled,
    read_methods,
    read_seeds,
    safe_name,
    split_list,
)
from semivox.errors import SettingsError
from semivox.methods.catalog import CATALOG, parse_method
from semivox.training.config import refuse_changes, resolve


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("supervised", ["supervised"]),
        (" a , b,,c,", ["a", "b", "c"]),
        ("simcvd{contrast=0,temperature=0.1},cps", ["simcvd{contrast=0,temperature=0.1}", "cps"]),
        ("a{x=[1,2],y=3},b:p{z=[4,[5,6]]}", ["a{x=[1,2],y=3}", "b:p{z=[4,[5,6]]}"]),
        ("", []),
    ],
)
def test_commas_in_brackets_do_not_split(text: str, parts: list[str]) -> None:
    assert split_list(text) == parts


@pytest.mark.parametrize("text", ["a{x=1", "a}x", "]a["])
def test_brackets_need_partners(text: str) -> None:
    with pytest.raises(SettingsError, match="brackets without a partner"):
        split_list(text)


def test_lists_may_be_sequences_or_single_values() -> None:
    assert entries(["a,b", "c{d=1,e=2}"]) == ["a", "b", "c{d=1,e=2}"]
    assert entries(8) == ["8"]
    assert entries((4, "8@1")) == ["4", "8@1"]


def test_methods() -> None:
    chosen, reference, added = read_methods("cps, simcvd{temperature=0.1, contrast=0},cps", "supervised")
    assert added
    assert [c.name for c in chosen] == ["supervised", "cps", "simcvd+contrast=0+temperature=0.1"]
    assert chosen[0] == reference
    assert chosen[2].text == "simcvd{contrast=0,temperature=0.1}"
    assert parse_method(chosen[2].text)[2] == {"contrast": 0, "temperature": 0.1}
    everything, _, added = read_methods("simcvd{contrast=0},all", "supervised")
    assert not added
    assert [c.text for c in everything] == ["simcvd{contrast=0}", *CATALOG]
    # one variant, written in two ways
    twice, _, _ = read_methods("bcp{a=1,b=[2, 3]}, bcp{ b = [2, 3] ,a=1}", "bcp")
    assert [c.name for c in twice if c.name != "bcp"] == [twice[1].name]
    for wrong in ("", ",", "cps{x}"):
        with pytest.raises(SettingsError):
            read_methods(wrong, "supervised")


TEXTS = [
    "simcvd", "simcvd{contrast=0}", "simcvd{contrast=0,temperature=0.1}", "simcvd{contrast=0.1}",
    "cvrl:miccai", "cvrl{miccai=1}", "simcvd{form=A}", "simcvd{form=a}", "a{x=[1,2]}", "a{x=[12]}",
    "a{x=1.2}", "a{x=1 2}", "a{x=1/2}", "a{x=1?2}", "package.module:Class", "package.module:class",
    "package:module.Class",
    "a{x=" + 90 * "1" + "}", "a{x=" + 91 * "1" + "}", "a{x=ä}", "a{x=*}", "a{x='1'}", "con.",
]  # fmt: skip


def test_auto_is_no_method_to_compare() -> None:
    with pytest.raises(SettingsError, match="methods by name"):
        read_methods("auto,cps", "supervised")


def test_names_are_safe_unique_and_lasting() -> None:
    names = [safe_name(text) for text in TEXTS]
    assert len({name.lower() for name in names}) == len(TEXTS)  # on file systems that ignore case too
    for name in names:
        assert not set(name) & set("<>:\"/\\|?*{}[] '$&;()"), name
        assert not name.endswith((".", " "))
        assert len(name) < 100
        assert name.isascii()
    assert names[:5] == [
        "simcvd", "simcvd+contrast=0", "simcvd+contrast=0+temperature=0.1", "simcvd+contrast=0.1",
        "cvrl-miccai",
    ]  # fmt: skip
    assert names[6].startswith("simcvd+form=a~")


def test_a_file_with_other_content_is_another_choice(tmp_path: Path) -> None:
    names = tmp_path / "My names.txt"
    names.write_text("a\nb\n")
    before = read_labeled(f"4,{names},all,4")
    assert [c.name for c in before[::2]] == ["4", "all"]
    assert before[1].name.startswith("my-names~")
    assert Path(before[1].text) == names
    names.write_text("a\nc\n")
    assert read_labeled([str(names)])[0].name != before[1].name

    method = tmp_path / "mine.py"
    method.write_text("x = 1")
    texts = [f"{method}:Mine", f"{method}:Mine{{a=1}}"]
    first = [c.name for c in read_methods(texts, texts[0])[0]]
    assert first[0].startswith("mine.mine~")
    assert first[1].startswith("mine.mine+a=1~")
    method.write_text("x = 2")
    assert not set(first) & {c.name for c in read_methods(texts, texts[0])[0]}
    with pytest.raises(SettingsError, match="file is missing"):
        read_methods("none.py:Mine", "supervised")


def test_labelled_sets_and_seeds() -> None:
    assert [c.text for c in read_labeled("4,8@3,7p")] == ["4", "8@3", "7p"]
    assert [c.text for c in read_labeled(8)] == ["8"]
    assert [c.text for c in read_labeled(None)] == ["all"]
    with pytest.raises(SettingsError, match="neither a number nor a file"):
        read_labeled("4,none.txt")
    with pytest.raises(SettingsError, match="names no set"):
        read_labeled(",")
    assert read_seeds("0, 3,0") == (0, 3)
    assert read_seeds(range(3)) == (0, 1, 2)
    assert read_seeds(None) == (0,)
    for wrong in ("0,one", ""):
        with pytest.raises(SettingsError, match="whole numbers"):
            read_seeds(wrong)


@pytest.mark.parametrize(
    ("written", "name"),
    [("3", "3"), ("03", "3"), ("003p", "3p"), ("3@07", "3@7"), ("03p@007", "3p@7"), ("10", "10"), ("0", "0"),
     ("\u0663", "3"), (3, "3"), (" 03 ", "3")],
)  # fmt: skip
def test_a_number_of_labelled_cases_has_one_name_however_it_is_written(written: str | int, name: str) -> None:
    """As a labelled set of a comparison, and as the setting of a run."""
    assert read_labeled([written, name]) == (Choice(name, name),)
    config, _ = resolve(Path("scans"), {"labeled": written})
    assert config.run.labeled == name
    assert resolve(Path("scans"), {}, assignments={"run.labeled": written})[0] == config
    assert refuse_changes(config, {"labeled": written}, {"run.labeled": written}) == config


def test_a_file_of_names_is_one_set_by_whatever_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "names.txt").write_text("a\n")
    chosen = read_labeled(["names.txt", "./names.txt", "in/../names.txt", str(tmp_path / "names.txt")])
    assert len(chosen) == 1
    assert Path(chosen[0].text) == tmp_path / "names.txt"


def test_letters_that_are_no_unicode_have_a_name_too() -> None:
    names = {safe_name(text) for text in ("\udcff", "\udcfe", "\ud800")}
    assert len(names) == 3
    assert all(name.isascii() for name in names)
