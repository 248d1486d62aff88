from __future__ import annotations

from allencv_al.common.config.docstrings import argument_descriptions, summary


class Documented:
    """Do one thing,
    over two lines.

    More about it: not an argument.

    Args:
        Those that count.
        first: The first one, with a colon: here.
            A second line of it.

            A paragraph of it.
        second (int): With a type.
        *rest: The others.
        **options: All else.

    Raises:
        ValueError: Not an argument.
    """


class Bare:
    pass


def test_the_summary_is_the_first_paragraph_on_one_line() -> None:
    assert summary(Documented) == "Do one thing, over two lines."
    assert summary(Bare) == ""


def test_each_argument_has_its_description_on_one_line() -> None:
    assert argument_descriptions(Documented) == {
        "first": "The first one, with a colon: here. A second line of it. A paragraph of it.",
        "second": "With a type.",
        "rest": "The others.",
        "options": "All else.",
    }
    assert argument_descriptions(Bare) == {}
    assert argument_descriptions(len) == {}
