"""The batcher: each sender's own answer, together where they wait, and never a hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.models import load_archive
from allencv_al.predictors import Predictor
from allencv_al.service.demo.batcher import Batcher, BusyError, in_a_thread
from allencv_al.service.web.images import DecodingBudget

DEADLINE = 30.0


@pytest.fixture
def predictor(tiny_run: Path) -> Predictor:
    return Predictor.from_archive(load_archive(tiny_run))


@pytest.fixture
def batcher(predictor: Predictor) -> Iterator[Batcher]:
    made = Batcher(predictor, num_threads=2)
    yield made
    made.close()


class Gate:
    """Holds the model back until it is opened, and counts the batches."""

    def __init__(self, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        self.sizes: list[int] = []
        self._real = predictor.predict_decoded
        monkeypatch.setattr(predictor, "predict_decoded", self._predict)

    def _predict(self, items: Any) -> Any:
        self.reached.set()
        assert self.opened.wait(DEADLINE)
        self.sizes.append(len(items))
        return self._real(items)


@pytest.fixture
def gate(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(predictor, monkeypatch)
    yield made
    made.opened.set()


def picture(brightness: int, height: int = 9) -> np.ndarray:
    return np.full((height, 12, 3), brightness, dtype=np.uint8)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def test_an_image_alone_gets_exactly_what_the_predictor_gives(
    batcher: Batcher, predictor: Predictor
) -> None:
    [prediction] = batcher.predict([picture(7)], timeout=DEADLINE)
    assert prediction.row == predictor.predict(picture(7))
    assert prediction.batch_size == 1
    assert prediction.model_seconds > 0


def test_many_threads_get_their_own_answers(batcher: Batcher, predictor: Predictor) -> None:
    expected = [predictor.predict(picture(value))["logits"] for value in range(0, 240, 4)]
    with ThreadPoolExecutor(16) as senders:
        found = list(
            senders.map(
                lambda value: batcher.predict([picture(value)], DEADLINE)[0], range(0, 240, 4)
            )
        )
    assert len({tuple(row) for row in expected}) == len(expected)  # or a mix-up would not show
    for prediction, logits in zip(found, expected, strict=True):
        assert prediction.row is not None
        assert prediction.row["logits"] == pytest.approx(logits, abs=1e-5)


def test_what_waits_while_the_model_is_busy_is_one_batch(batcher: Batcher, gate: Gate) -> None:
    first = batcher.submit([picture(0)])
    assert gate.reached.wait(DEADLINE)
    rest = batcher.submit([picture(value) for value in range(1, 6)])
    until(lambda: len(batcher._decoded) == 5)
    gate.opened.set()
    assert [future.result(DEADLINE).batch_size for future in first + rest] == [1, 5, 5, 5, 5, 5]
    assert gate.sizes == [1, 5]


def test_a_batch_is_never_larger_than_it_may_be(predictor: Predictor, gate: Gate) -> None:
    batcher = Batcher(predictor, max_batch_size=4)
    futures = batcher.submit([picture(value) for value in range(21)])
    gate.opened.set()
    assert all(future.result(DEADLINE).row is not None for future in futures)
    assert max(gate.sizes) <= 4
    assert sum(gate.sizes) == 21
    batcher.close()


def test_a_wrong_image_has_its_error_and_the_others_their_predictions(batcher: Batcher) -> None:
    items: list[Any] = [picture(1), b"no picture", {"image": 3}, DataError("none"), picture(2)]
    found = batcher.predict(items, timeout=DEADLINE)
    assert [prediction.row is None for prediction in found] == [False, True, True, True, False]
    kinds = [type(prediction.error) for prediction in found]
    assert kinds == [type(None), ImageDecodeError, DataError, DataError, type(None)]


def test_a_batch_that_the_model_cannot_take_is_run_one_by_one(
    batcher: Batcher, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = predictor.predict_decoded
    bright = 200

    def refuse_bright(items: Any) -> Any:
        if any(item.samples[0].image.max() > bright for item in items):
            raise RuntimeError("too bright")
        return real(items)

    monkeypatch.setattr(predictor, "predict_decoded", refuse_bright)
    items = [picture(value) for value in (10, 20, 250, 30)]
    found = batcher.predict(items, timeout=DEADLINE)
    assert [str(prediction.error) for prediction in found] == ["None", "None", "too bright", "None"]


def test_a_fault_of_a_users_predictor_is_returned_and_the_server_goes_on(
    batcher: Batcher, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: object) -> Any:
        raise KeyError("photo")

    monkeypatch.setattr(predictor, "_json_to_instance", fail)
    [wrong] = batcher.predict([{"photograph": 1}], timeout=DEADLINE)
    assert isinstance(wrong.error, KeyError)
    assert batcher.predict([picture(3)], timeout=DEADLINE)[0].row is not None


def test_too_many_waiting_are_refused_whole_and_later_taken(
    predictor: Predictor, gate: Gate
) -> None:
    batcher = Batcher(predictor, max_batch_size=1, max_waiting=4)
    futures = batcher.submit([picture(value) for value in range(3)])
    with pytest.raises(BusyError, match="3 images are waiting, of at most 4") as refused:
        batcher.submit([picture(3), picture(4)])
    assert 1 <= refused.value.retry_after <= 30
    futures += batcher.submit([picture(3)])
    gate.opened.set()
    assert all(future.result(DEADLINE).row is not None for future in futures)
    until(lambda: batcher.waiting == 0)
    assert batcher.predict([picture(4)], timeout=DEADLINE)[0].row is not None
    batcher.close()


def test_a_request_whose_client_has_gone_is_not_run(batcher: Batcher, gate: Gate) -> None:
    kept = batcher.submit([picture(0)])
    assert gate.reached.wait(DEADLINE)
    with pytest.raises(BusyError, match=r"no prediction within 0\.05 seconds"):
        batcher.predict([picture(1), picture(2)], timeout=0.05)
    gate.opened.set()
    assert kept[0].result(DEADLINE).row is not None
    until(lambda: batcher.waiting == 0)
    assert batcher.predict([picture(3)], timeout=DEADLINE)[0].batch_size == 1
    assert sum(gate.sizes) == 2


def test_decoding_does_not_run_far_ahead_of_the_model(predictor: Predictor, gate: Gate) -> None:
    batcher = Batcher(predictor, max_batch_size=2)
    futures = batcher.submit([picture(value) for value in range(30)])
    assert gate.reached.wait(DEADLINE)
    until(lambda: len(batcher._decoded) == 4)
    gate.opened.set()
    assert all(future.result(DEADLINE).row is not None for future in futures)
    batcher.close()


def test_closing_answers_everyone_and_ends_the_threads(predictor: Predictor, gate: Gate) -> None:
    batcher = Batcher(predictor, max_batch_size=1, num_threads=2)
    before = threading.active_count()
    futures = batcher.submit([picture(value) for value in range(20)])
    assert gate.reached.wait(DEADLINE)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    until(lambda: batcher._is_closed)
    gate.opened.set()
    closing.join(DEADLINE)
    answers = [future.exception(DEADLINE) for future in futures]
    assert answers[0] is None
    assert any(isinstance(answer, BusyError) for answer in answers)
    assert batcher.waiting == 0
    assert threading.active_count() == before
    with pytest.raises(BusyError, match="closing"):
        batcher.submit([picture(0)])


def test_warming_up_leaves_nothing_behind(
    batcher: Batcher, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher.warm_up()
    assert batcher.waiting == 0
    monkeypatch.setattr(predictor, "predict_decoded", lambda items: 1 / 0)
    batcher.warm_up()  # a model that takes no such image is no fault


def test_what_is_loaded_in_a_thread_leaves_no_thread() -> None:
    before = threading.active_count()
    name = in_a_thread(lambda: threading.current_thread().name)
    assert name != threading.current_thread().name
    assert threading.active_count() == before
    with pytest.raises(KeyError):
        in_a_thread(lambda: {}["absent"])


def test_a_batcher_that_never_ran_closes(predictor: Predictor) -> None:
    batcher = Batcher(predictor)
    batcher.close()
    with pytest.raises(BusyError, match="closing"):
        batcher.submit([picture(0)])


def test_images_are_decoded_within_the_budget_of_the_process(
    batcher: Batcher, monkeypatch: pytest.MonkeyPatch, pictures: Path
) -> None:
    budget = DecodingBudget(100)
    monkeypatch.setattr("allencv_al.service.demo.batcher.DECODING", budget)
    content = next(pictures.rglob("*.png")).read_bytes()
    with budget.hold(content):
        [future] = batcher.submit([content])
        time.sleep(0.1)
        assert not future.done()
    assert future.result(30).error is None
    assert budget.used == 0


def test_a_call_has_the_model_to_itself_and_images_come_in_between(
    batcher: Batcher, gate: Gate
) -> None:
    order: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(batcher.predict, [picture(1)], DEADLINE)
        assert gate.reached.wait(DEADLINE)
        calls = [threads.submit(batcher.call, lambda: order.append("call")) for _ in range(2)]
        until(lambda: len(batcher._calls) == 2)
        second = threads.submit(batcher.predict, [picture(2)], DEADLINE)
        until(lambda: len(batcher._decoded) == 1)
        gate.sizes = _Recorded(order)
        gate.opened.set()
        for future in (first, *calls, second):
            future.result(DEADLINE)
    assert order == ["images", "call", "images", "call"]


class _Recorded(list[int]):
    def __init__(self, order: list[str]) -> None:
        self._order = order

    def append(self, size: int) -> None:
        self._order.append("images")


def test_of_many_calls_the_later_ones_are_refused(batcher: Batcher, gate: Gate) -> None:
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(batcher.predict, [picture(1)], DEADLINE)
        assert gate.reached.wait(DEADLINE)
        calls = [threads.submit(batcher.call, lambda: 7) for _ in range(4)]
        until(lambda: len(batcher._calls) == 4)
        with pytest.raises(BusyError, match="4 such requests are waiting"):
            batcher.call(lambda: 7)
        gate.opened.set()
        assert [call.result(DEADLINE) for call in calls] == [7] * 4
        first.result(DEADLINE)


def test_a_call_that_fails_or_comes_too_late_raises(batcher: Batcher, gate: Gate) -> None:
    def fail() -> None:
        raise TimeoutError("of its own")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(batcher.predict, [picture(1)], DEADLINE)
        assert gate.reached.wait(DEADLINE)
        made: list[int] = []
        with pytest.raises(BusyError, match="no answer within"):
            batcher.call(lambda: made.append(1), 0.01)
        gate.opened.set()
        first.result(DEADLINE)
    with pytest.raises(TimeoutError, match="of its own"):
        batcher.call(fail, DEADLINE)
    assert made == []
    batcher.close()
    with pytest.raises(BusyError, match="closing"):
        batcher.call(lambda: 7)


def test_closing_fails_the_calls_that_wait(predictor: Predictor, gate: Gate) -> None:
    batcher = Batcher(predictor, num_threads=1)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(batcher.predict, [picture(1)], DEADLINE)
        assert gate.reached.wait(DEADLINE)
        call = threads.submit(batcher.call, lambda: 7)
        until(lambda: len(batcher._calls) == 1)
        closing = threads.submit(batcher.close)
        with pytest.raises(BusyError, match="closing"):
            call.result(DEADLINE)
        gate.opened.set()
        closing.result(DEADLINE)
        first.result(DEADLINE)
