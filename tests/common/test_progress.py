from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator

import pytest

from allencv_al.common import progress
from allencv_al.common.progress import Progress, time_text, track


class Terminal(io.StringIO):
    """What a terminal looks like to a program."""

    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Return what makes a terminal of stderr; pytest's own capture begins after fixtures."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def use() -> Terminal:
        stderr = Terminal()
        monkeypatch.setattr(sys, "stderr", stderr)
        return stderr

    return use


def test_a_line_at_the_end_is_not_said_twice(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("reading", 2, "images") as shown:
        clock.now += 20
        shown.advance(2)
    assert capsys.readouterr().err == "reading: 2/2 images, 0.1 images/s\n"


def test_short_work_says_nothing_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(1000), total=1000, description="reading", unit="images")) == list(
        range(1000)
    )
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_line_now_and_then_and_how_it_ended(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("reading", total=8, unit="images") as bar:
        for _ in range(8):
            clock.now += 4.0
            bar.advance(1, note="loss 0.5")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "reading: 3/8 images, 0.2 images/s, 20 s left, loss 0.5",
        "reading: 6/8 images, 0.2 images/s, 8 s left, loss 0.5",
        "reading: 8/8 images, 0.2 images/s",
    ]


def test_what_was_done_before_says_nothing_of_the_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("comparing", total=100, unit="rounds", already=90) as bar:
        clock.now += 40
        bar.advance(2)
    line = "comparing: 92/100 rounds, 20 s each, 2 min 40 s left"
    assert capsys.readouterr().err.splitlines()[0] == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (90061, "25 h 01 min"),
    ],
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_an_unknown_total_is_left_out(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress("reading")
    clock.now += 20
    bar.advance(40)
    assert capsys.readouterr().err == "reading: 40 items, 2.0 items/s\n"


def test_a_terminal_has_a_bar_and_nothing_else_is_touched(
    terminal: Callable[[], Terminal], capsys: pytest.CaptureFixture[str]
) -> None:
    stderr, stdout = terminal(), sys.stdout
    for item in track(["a", "b"], total=2, description="reading [1/2]", unit="images"):
        assert sys.stdout is stdout, "results must not go where the bar is"
        sys.stdout.write(f"{item}\n")
    assert sys.stderr is stderr
    assert capsys.readouterr().out == "a\nb\n"
    shown = stderr.getvalue()
    assert "reading [1/2]" in shown and "2/2" in shown and "images" in shown
    assert shown.endswith(("\x1b[2K", "\x1b[?25h")) or "\x1b[?25h" in shown  # the cursor is back


def test_a_note_in_brackets_is_no_markup(terminal: Callable[[], Terminal]) -> None:
    stderr = terminal()
    with Progress("x", total=1) as bar:
        bar.advance(1, note="[red]loss[/red] [/]")
    assert "[red]loss[/red] [/]" in stderr.getvalue()


def test_an_error_closes_the_bar(terminal: Callable[[], Terminal]) -> None:
    stderr = terminal()
    with pytest.raises(ZeroDivisionError):
        for _ in track([1, 2], description="x"):
            raise ZeroDivisionError
    assert sys.stderr is stderr
    with Progress("y") as bar:  # a second live bar would be refused
        bar.advance()


def test_work_that_is_left_early_closes_the_bar(terminal: Callable[[], Terminal]) -> None:
    terminal()
    for _ in track(range(10), description="x"):
        break
    with Progress("y"):
        pass


def test_track_is_lazy(capsys: pytest.CaptureFixture[str]) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise AssertionError("read ahead")

    assert next(iter(track(numbers()))) == 1
