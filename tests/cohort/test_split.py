from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from semivox.cohort.case import Case, Cohort
from semivox.cohort.split import one_way, split_cohort
from semivox.errors import SettingsError
from semivox.ranking.record import NEXT, write_ranking


def cohort_of(*cases: Case) -> Cohort:
    return Cohort(Path("data"), cases, ("MRI",), {1: "organ"})


def case(name: str, patient: str = "", label: bool = True, role: str = "") -> Case:
    return Case(
        name,
        (Path(f"{name}_0000.nii.gz"),),
        Path(f"{name}.nii.gz") if label else None,
        patient or name,
        None,
        role,
    )


COHORT = cohort_of(
    case("a1", "a"), case("b1", "b", label=False), case("c1", "c"), case("a2", "a"),
    case("t1", "t", role="test"), case("d1", "d"), case("u1", "c", role="unlabeled"), case("d2", "d"),
    case("e1", "e"),
)  # fmt: skip


def names(cases) -> str:
    return " ".join(case.name for case in cases)


@pytest.mark.parametrize(
    ("labeled", "expected"),
    [
        (None, "a1 c1 a2 d1 d2 e1"),
        ("1", "a1"),
        ("3", "a1 c1 a2"),
        ("2p", "a1 c1 a2"),
        ("3p", "a1 c1 a2 d1 d2"),
    ],
)
def test_counts_of_cases_and_patients_in_cohort_order(labeled, expected):
    split = split_cohort(COHORT, labeled)
    assert names(split.labeled) == expected
    others = [c.name for c in COHORT.cases if c.name not in expected.split() and c.role != "test"]
    assert names(split.unlabeled) == " ".join(others)


def test_the_unlabelled_have_no_label_file_to_open():
    split = split_cohort(COHORT, "2")
    assert {c.name for c in split.unlabeled} >= {"a2", "d1", "u1"}
    assert all(c.label is None for c in split.unlabeled)
    assert all(c.label is not None for c in split.labeled)


def test_a_random_draw_is_keyed_nested_and_cuts_one_patient_at_most():
    cohort = cohort_of(*(case(f"{p}{i}", p) for i in (1, 2, 3) for p in "abcdefgh"))
    draws = [{c.name for c in split_cohort(cohort, f"{k}@3").labeled} for k in range(1, 25)]
    for k, (smaller, larger) in enumerate(pairwise(draws), start=1):
        assert len(smaller) == k
        assert smaller < larger
        by_patient = [sum(n.startswith(p) for n in smaller) for p in "abcdefgh"]
        assert sum(count not in (0, 3) for count in by_patient) <= 1
    assert split_cohort(cohort, "9@3") == split_cohort(cohort, "9@3")
    assert len({names(split_cohort(cohort, f"6@{seed}").labeled) for seed in range(12)}) > 6
    labelled = split_cohort(cohort, "9@3").labeled
    assert [c for c in cohort.cases if c in labelled] == list(labelled)


def test_a_random_draw_of_patients_takes_all_their_cases():
    cohort = cohort_of(*(case(f"{p}{i}", p) for i in (1, 2) for p in "abcdef"))
    split = split_cohort(cohort, "2p@7")
    assert len(split.labeled) == 4
    assert len({c.patient for c in split.labeled}) == 2
    assert not {c.patient for c in split.labeled} & {c.patient for c in split.unlabeled}


def test_every_case_is_drawn_about_equally_often():
    cohort = cohort_of(*(case(f"c{i}") for i in range(10)))
    counts = dict.fromkeys((c.name for c in cohort.cases), 0)
    for seed in range(400):
        for c in split_cohort(cohort, f"3@{seed}").labeled:
            counts[c.name] += 1
    assert all(80 < n < 165 for n in counts.values()), counts  # 120 expected, sd 9


def test_a_file_of_names(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("# chosen by hand\nd2\n\na1  # first\nd2\n")
    assert names(split_cohort(COHORT, str(file)).labeled) == "a1 d2"


ODD = (
    "Müller Jörg", "Müller Jörg #1", "Müller Jörg #1 # 2", "#7", "# chosen", "a#b", "c ## d", "e\t#f",
    " blank ", "next\x85line", "page\x0cbreak", "line\u2028break", "100% [sure]",
)  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_whole_line_that_is_a_name_is_that_case_whatever_it_holds(tmp_path, end):
    cohort = cohort_of(*map(case, ODD))
    for name in ODD:
        (tmp_path / "one").write_bytes(f"{name}{end}".encode())
        assert [c.name for c in split_cohort(cohort, str(tmp_path / "one")).labeled] == [name]
    write_ranking(tmp_path, {"labeled": ODD}, [])
    text = (tmp_path / NEXT).read_bytes().replace(b"\n", end.encode())
    (tmp_path / NEXT).write_bytes(text)
    assert [c.name for c in split_cohort(cohort, str(tmp_path / NEXT)).labeled] == list(ODD)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Müller Jörg # the first", "Müller Jörg"),
        ("Müller Jörg #1 # the second", "Müller Jörg #1"),  # two parts of it are names: the longer one
        ("  Müller Jörg #1\t# indented", "Müller Jörg #1"),
        ("#7 # a name, then a comment", "#7"),
        ("a#b", "a#b"),
        ("100% [sure]   #", "100% [sure]"),
    ],
)
def test_a_comment_follows_a_name_and_a_blank(tmp_path, line, expected):
    (tmp_path / "list").write_text(f"#\n  # nobody\n#7a1\n{line}\n")
    split = split_cohort(cohort_of(*map(case, ODD)), str(tmp_path / "list"))
    assert [c.name for c in split.labeled] == [expected]


@pytest.mark.parametrize("line", ["a1#first", "Müller #9", "nobody # here"])
def test_a_line_that_names_no_case_is_told_as_a_whole(tmp_path, line):
    (tmp_path / "list").write_text(f"{line}\n")
    with pytest.raises(SettingsError, match=f"names no case; found {line}"):
        split_cohort(COHORT, str(tmp_path / "list"))


@pytest.mark.parametrize(
    ("content", "fault"),
    [("a1\nnobody\n", "names no case; found nobody"), ("b1\n", "no label to use; found b1"),
     ("u1", "no label to use"), ("t1", "no label to use"), ("# none\n", "an empty file")],
)  # fmt: skip
def test_a_file_with_wrong_names(tmp_path, content, fault):
    (tmp_path / "list").write_text(content)
    with pytest.raises(SettingsError) as caught:
        split_cohort(COHORT, str(tmp_path / "list"))
    assert fault in str(caught.value).replace(f"{tmp_path}/list: ", "")


@pytest.mark.parametrize(
    ("labeled", "message"),
    [("7", "6 cases with a label file"), ("5p", "4 patients"), ("0", "at least 1"), ("9@1", "6 cases"),
     ("8 cases", "neither a number nor a file"), ("-1", "neither")],
)  # fmt: skip
def test_what_cannot_be_met_says_what_there_is(labeled, message):
    with pytest.raises(SettingsError, match=message):
        split_cohort(COHORT, labeled)


def test_a_case_without_a_patient_is_a_group_of_its_own() -> None:
    assert Case("a", (Path("a.nii.gz"),)).group == "a"
    assert Case("a", (Path("a.nii.gz"),), patient="anna").group == "anna"


@pytest.mark.parametrize(("labeled", "text"), [(2, "2"), (np.int64(3), "3"), (np.str_("2p"), "2p")])
def test_a_set_may_be_a_number(labeled, text):
    assert split_cohort(COHORT, labeled) == split_cohort(COHORT, text)
    assert one_way(labeled) == text


def test_a_file_of_names_may_be_a_path(tmp_path):
    (tmp_path / "list").write_text("d2\na1\n")
    assert split_cohort(COHORT, tmp_path / "list") == split_cohort(COHORT, str(tmp_path / "list"))


@pytest.mark.parametrize("labeled", [[2], ("a1",), 2.0, np.float64(2), True, np.bool_(True), {"a1": 1}, b"2"])
def test_a_set_of_another_kind_says_what_is_taken(labeled):
    for take in (lambda: split_cohort(COHORT, labeled), lambda: one_way(labeled)):
        with pytest.raises(SettingsError, match=r"--labeled is of another kind; found .*expected .*number"):
            take()
