"""One save: a label, what the table says of its classes, and the book change together, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from semivox.annotating.book import Book, Edit
from semivox.annotating.label_store import Draft, LabelStore
from semivox.annotating.whole_classes import WholeClasses
from semivox.cohort import Case
from semivox.errors import SemivoxError


def put_in_place(
    draft: Draft,
    edit: Edit,
    holder: str,
    case: Case,
    classes: frozenset[int] | None,
    book: Book,
    store: LabelStore,
    table: WholeClasses,
) -> None:
    """Give the label its place and write down that it has it. ``classes`` were drawn; None: those that the
    table has.

    On an exception what was done before is taken back, the last first. Where that fails in turn the rest is
    left: the table never counts more as drawn than the label at its place has. A kill takes nothing back;
    :meth:`Book.settle` and the order of the steps see to it.
    """
    number = book.begin(edit, holder)
    change = table.change(case, classes)
    back: list[Callable[[], None]] = [change.take_back]
    try:
        change.narrow()
        if draft.version != edit.before:
            earlier = store.keep_earlier(case)
            back.append(partial(store.forget_earlier, case, earlier))
            back.append(partial(store.bring_back, case, store.former(case), draft))
            store.put(draft)
            if earlier is not None:
                book.kept(number, earlier)
        book.finish(number)
        change.finish()
    except Exception:
        for step in reversed(back):
            step()
        with contextlib.suppress(SemivoxError):  # else a next server settles it
            book.finish(number, "lost")
        raise
