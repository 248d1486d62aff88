"""Tokens to indices: rules, files, configs."""

from __future__ import annotations

import logging
import pickle
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary

tokens = st.text(max_size=6).map(lambda text: unicodedata.normalize("NFC", text))
counters = st.dictionaries(tokens, st.integers(1, 50), max_size=12)


def instances(*labels: str | None) -> list[Instance]:
    return [Instance(id=str(i), image="absent.jpg", label=label) for i, label in enumerate(labels)]


def names(vocabulary: Vocabulary, namespace: str = "labels") -> list[str]:
    size = vocabulary.get_vocab_size(namespace)
    return [vocabulary.get_token_from_index(i, namespace) for i in range(size)]


# -- Order ------------------------------------------------------------------------------------


def test_the_seeds_constructor_gives_two_labels_without_padding() -> None:
    vocabulary = Vocabulary({"labels": {"Dog": 1234, "Cat": 1234}})
    assert vocabulary.get_vocab_size("labels") == 2
    assert names(vocabulary) == ["Cat", "Dog"]
    assert vocabulary.get_token_index("Dog", "labels") == 1
    assert not vocabulary.is_padded("labels")


@given(counters, st.randoms(use_true_random=False))
def test_label_order_is_that_of_scikit_learn_whatever_was_seen_first(
    counter: dict[str, int], shuffler: random.Random
) -> None:
    from sklearn.preprocessing import LabelEncoder

    items = list(counter.items())
    shuffler.shuffle(items)
    vocabulary = Vocabulary({"labels": dict(items)})
    if counter:
        encoder = LabelEncoder().fit(np.array(list(counter), dtype=object))
        assert names(vocabulary) == list(encoder.classes_)


def test_labels_that_are_numbers_stand_in_the_order_of_their_code_points() -> None:
    vocabulary = Vocabulary({"labels": {str(n): 1 for n in range(12)}})
    assert names(vocabulary)[:4] == ["0", "1", "10", "11"]


def test_a_padded_namespace_counts_down_and_breaks_ties_by_code_point() -> None:
    vocabulary = Vocabulary({"tokens": {"b": 2, "z": 7, "a": 2}})
    assert names(vocabulary, "tokens") == ["@@PADDING@@", "@@UNKNOWN@@", "z", "a", "b"]
    assert vocabulary.get_token_index("never seen", "tokens") == 1
    assert vocabulary.is_padded("tokens")


def test_padding_follows_the_patterns() -> None:
    vocabulary = Vocabulary(
        {"pos_tags": {"x": 1}, "exact": {"x": 1}, "other": {"x": 1}},
        non_padded_namespaces=["*tags", "exact"],
        padding_token="<pad>",
        oov_token="<unk>",
    )
    assert names(vocabulary, "pos_tags") == ["x"]
    assert names(vocabulary, "exact") == ["x"]
    assert names(vocabulary, "other") == ["<pad>", "<unk>", "x"]
    assert vocabulary.get_vocab_size("absent") == 2
    assert vocabulary.get_vocab_size("absent_tags") == 0
    assert vocabulary.get_namespaces() == {"pos_tags", "exact", "other"}


# -- Limits -----------------------------------------------------------------------------------


def test_limits_keep_the_most_frequent() -> None:
    counter = {"labels": {"a": 1, "b": 5, "c": 3, "d": 3}, "words": {"x": 2, "y": 1}}
    assert names(Vocabulary(counter, min_count={"labels": 3})) == ["b", "c", "d"]
    assert names(Vocabulary(counter, max_vocab_size=2)) == ["b", "c"]
    limited = Vocabulary(counter, max_vocab_size={"words": 1})
    assert names(limited) == ["a", "b", "c", "d"]
    assert names(limited, "words")[2:] == ["x"]


def test_a_class_without_examples_takes_its_place_in_the_order() -> None:
    vocabulary = Vocabulary(
        {"labels": {"cat": 3, "dog": 2}},
        min_count={"labels": 2},
        tokens_to_add={"labels": ["cow", "cat"], "words": ["z", "a"]},
    )
    assert names(vocabulary) == ["cat", "cow", "dog"]
    assert names(vocabulary, "words")[2:] == ["z", "a"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"max_vocab_size": 0}, "max_vocab_size"),
        ({"max_vocab_size": {"labels": -1}}, r"max_vocab_size\.labels"),
        ({"min_count": {"labels": 0}}, r"min_count\.labels"),
    ],
)
def test_a_limit_that_is_not_positive_is_a_fault_of_the_config(
    options: dict[str, int], name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected int >= 1"):
        Vocabulary({"labels": {"a": 1}}, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationFaults, match=f"{name}: expected int >= 1"):
        Vocabulary.from_params(options, instances=[])
    with pytest.raises(ConfigurationError, match="expected a positive number"):
        Vocabulary.from_instances([], **options)  # type: ignore[arg-type]


# -- Instances --------------------------------------------------------------------------------


def test_instances_are_counted_without_reading_an_image() -> None:
    vocabulary = Vocabulary.from_instances(instances("dog", None, "cat", "dog"))
    assert names(vocabulary) == ["cat", "dog"]


def test_box_labels_are_class_names_too() -> None:
    boxed = Instance(id="a", image="absent.jpg", box_labels=("wheel", "door", "wheel"))
    assert names(Vocabulary.from_instances([boxed])) == ["door", "wheel"]


def test_extending_keeps_the_indices_there_are() -> None:
    vocabulary = Vocabulary({"labels": {"m": 1, "k": 1}})
    vocabulary.extend_from_instances(instances("z", "a", "k"))
    assert names(vocabulary) == ["k", "m", "a", "z"]


def test_extending_by_a_vocabulary_adds_what_is_new() -> None:
    vocabulary = Vocabulary({"labels": {"b": 1}, "words": {"x": 2}})
    vocabulary.extend_from_vocab(Vocabulary({"labels": {"a": 1, "b": 1}, "words": {"y": 1}}))
    assert names(vocabulary) == ["b", "a"]
    assert names(vocabulary, "words") == ["@@PADDING@@", "@@UNKNOWN@@", "x", "y"]


def test_extending_refuses_a_namespace_padded_in_one_only() -> None:
    vocabulary = Vocabulary({"words": {"x": 1}})
    other = Vocabulary({"words": {"x": 1}}, non_padded_namespaces=["words"])
    with pytest.raises(ConfigurationError, match="'words' is padded"):
        vocabulary.extend_from_vocab(other)
    with pytest.raises(ConfigurationError, match="'words' is not padded"):
        other.extend_from_vocab(vocabulary)


# -- Lookups ----------------------------------------------------------------------------------


def test_an_unknown_label_names_the_known_and_the_nearest() -> None:
    vocabulary = Vocabulary({"labels": {"airplane": 1, "automobile": 1, "bird": 1}})
    with pytest.raises(KeyError, match=r'"airplan".*airplane, automobile, bird.*did you mean'):
        vocabulary.get_token_index("airplan")
    with pytest.raises(KeyError, match="holds nothing"):
        Vocabulary().get_token_index("x")
    with pytest.raises(KeyError, match="no index 3"):
        vocabulary.get_token_from_index(3)
    with pytest.raises(KeyError):
        vocabulary.get_token_from_index(-1)


def test_a_lookup_adds_nothing() -> None:
    vocabulary = Vocabulary()
    vocabulary.get_vocab_size("words")
    vocabulary.get_token_index("x", "words")
    assert vocabulary.get_namespaces() == set()
    assert vocabulary == Vocabulary()


def test_tokens_are_added_once() -> None:
    vocabulary = Vocabulary()
    assert vocabulary.add_tokens_to_namespace(["b", "a", "b"], "labels") == [0, 1, 0]
    assert vocabulary.add_token_to_namespace("x", "words") == 2
    assert vocabulary.get_token_to_index_vocabulary("labels") == {"b": 0, "a": 1}
    assert vocabulary.get_index_to_token_vocabulary("labels") == {0: "b", 1: "a"}
    with pytest.raises(ValueError, match="must be a string"):
        vocabulary.add_token_to_namespace(3, "labels")  # type: ignore[arg-type]


def test_equality_and_pickling() -> None:
    vocabulary = Vocabulary({"labels": {"a": 5}, "words": {"b": 1}})
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    assert vocabulary == Vocabulary({"labels": {"a": 1}, "words": {"b": 9}})
    assert vocabulary != Vocabulary({"labels": {"a": 5}})
    assert vocabulary != "labels"
    with pytest.raises(TypeError, match="unhashable"):
        hash(vocabulary)


def test_statistics_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        Vocabulary.from_instances(instances("dog", "cat", "dog")).print_statistics()
    assert "labels: 2 tokens: cat (1), dog (2)" in caplog.text


# -- Configs ----------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[Path]:
    Vocabulary({"labels": {"m": 1}}).save_to_files(tmp_path / "saved")
    yield tmp_path / "saved"


def test_every_registered_way_builds_one(saved: Path) -> None:
    ways = {
        "from_instances": ({}, ["a", "b"]),
        "from_files": ({"directory": str(saved)}, ["m"]),
        "extend": ({"directory": str(saved)}, ["m", "a", "b"]),
        "empty": ({}, []),
    }
    assert set(ways) == set(Vocabulary.list_available())
    for name, (arguments, expected) in ways.items():
        built = Vocabulary.from_params({"type": name, **arguments}, instances=instances("b", "a"))
        assert names(built) == expected


def test_limits_of_namespaces_that_do_not_exist_are_ignored() -> None:
    config = {"max_vocab_size": 50000, "min_count": {"tokens": 3}}
    assert names(Vocabulary.from_params(config, instances=instances("b", "a"))) == ["a", "b"]


# -- Spellings --------------------------------------------------------------------------------


def test_two_unicode_forms_of_a_name_are_one_class() -> None:
    vocabulary = Vocabulary.from_instances(instances("caf\u00e9", "cafe\u0301", "dog"))
    assert names(vocabulary) == ["caf\u00e9", "dog"]
    assert vocabulary.get_token_index("cafe\u0301") == 0
    counted = Vocabulary(
        {"labels": {"caf\u00e9": 1, "cafe\u0301": 1}},
        min_count={"labels": 2},
        tokens_to_add={"labels": [" cafe\u0301 ", "emu "]},
    )
    assert names(counted) == ["caf\u00e9", "emu"]
    assert counted.add_token_to_namespace("cafe\u0301") == 0
