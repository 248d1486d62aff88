"""Python batches without their running: what is taken, and what is refused."""

from __future__ import annotations

import contextlib
import pickle

import numpy as np
import pytest
from fixtures.cifar_pickles import batch, python2_pickle
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.cifar_pickle import read_cifar_pickle


def test_the_writer_of_these_tests_writes_what_python_reads() -> None:
    """Python's own unpickler agrees, on content that is ours."""
    content = batch(3)
    read = pickle.loads(python2_pickle(content), encoding="bytes")
    assert read[b"labels"] == content["labels"]
    assert (read[b"data"] == content["data"]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", 'found "os system"'),
        (b"(S'true'\nios\nsystem\n.", "no pickle instruction STRING"),
        (b"\x80\x02(ios\nsystem\n.", "no pickle instruction INST"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", 'found "builtins eval"'),
        (b"\x80\x02cnumpy\ndtype\n(U\x02O8K\x00K\x01tR.", "arrays of bytes only"),
        (b"\x80\x02cnumpy\nndarray\n(K\x01tR.", "arrays of bytes only"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "no pickle instruction NEWOBJ"),
        (b"\x80\x02\x82\x01.", "no pickle instruction EXT1"),
        (b"\x80\x02U\x01aQ.", "no pickle instruction BINPERSID"),
        (b"\x80\x02cnumpy\ndtype\nU\x01ab.", "expected an array of bytes"),
        (b"\x80\x02}K\x01K\x02s.", "expected a name, found a value of type int"),
        (b"\x80\x02}))\x86K\x02s.", "expected a name, found a value of type tuple"),
        (b"\x80\x02cnumpy\ndtype\nK\x01a.", "expected a list to fill"),
        (b"\x80\x02K\x01r\xff\xff\xff\xff.", "expected a dictionary, found int"),
        (b"\x80\x02U\xffabc", "damaged, cut short, or no pickle"),
        (b"\x80\x02T\xff\xff\xff\x7fabc.", "damaged, cut short, or no pickle"),
        (b"\x80\x02h\x05.", "damaged, cut short, or no pickle"),
        (b"\x80\x02e.", "damaged, cut short, or no pickle"),
        (b"", "damaged, cut short, or no pickle"),
        (b"<html>", "damaged, cut short, or no pickle"),
    ],
)
def test_what_is_no_batch_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^test_batch: .*{message}"):
        read_cifar_pickle("test_batch", content)


def test_a_key_that_takes_days_to_hash_is_refused_at_once() -> None:
    doubled = b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
    deep_key = b"\x80\x02)q\x00" + doubled
    with pytest.raises(DataError, match="expected a name, found a value of type tuple"):
        read_cifar_pickle("x", deep_key + b"}h\x3cK\x01s.")


@given(st.binary(max_size=60).map(lambda tail: b"\x80\x02" + tail + b"."))
def test_any_bytes_are_an_error_or_a_dictionary(content: bytes) -> None:
    with contextlib.suppress(DataError):
        assert isinstance(read_cifar_pickle("x", content), dict)


@given(st.data())
def test_a_damaged_batch_is_an_error_or_a_dictionary(data: st.DataObject) -> None:
    content = bytearray(python2_pickle({**batch(1), "data": np.zeros((1, 3072), np.uint8)}))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        read_cifar_pickle("x", bytes(content))
