"""Vocabularies saved to AllenNLP's files and read back."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import DataError
from allencv_al.data.vocabulary import Vocabulary

tokens = st.text(max_size=6).map(lambda text: unicodedata.normalize("NFC", text))


def names(vocabulary: Vocabulary, namespace: str = "labels") -> list[str]:
    size = vocabulary.get_vocab_size(namespace)
    return [vocabulary.get_token_from_index(i, namespace) for i in range(size)]


def test_the_files_are_allennlps(tmp_path: Path) -> None:
    vocabulary = Vocabulary({"labels": {"b": 1, "a": 1}, "words": {"x": 1}})
    vocabulary.save_to_files(tmp_path / "vocabulary")
    written = {file.name: file.read_text() for file in (tmp_path / "vocabulary").iterdir()}
    assert written == {
        "labels.txt": "a\nb\n",
        "words.txt": "@@UNKNOWN@@\nx\n",
        "non_padded_namespaces.txt": "*labels\n*tags\n",
    }
    assert vocabulary.contents() == {name: text.encode() for name, text in written.items()}


def test_files_of_another_system_are_read(tmp_path: Path) -> None:
    (tmp_path / "non_padded_namespaces.txt").write_bytes(b"*tags\r\n*labels\r\n")
    (tmp_path / "labels.txt").write_bytes("zebra\r\nöl\r\nlast without a line end".encode())
    (tmp_path / "words.txt").write_bytes(b"x\n@@UNKNOWN@@\n")
    (tmp_path / ".lock").touch()
    (tmp_path / ".DS_Store.txt").write_bytes(b"\xff\xfe")
    vocabulary = Vocabulary.from_files(tmp_path)
    assert names(vocabulary) == ["zebra", "öl", "last without a line end"]
    assert vocabulary.get_token_index("x", "words") == 1
    assert vocabulary.get_token_index("never seen", "words") == 2


@given(
    st.dictionaries(
        st.sampled_from(["labels", "words", "pos_tags", "a b"]),
        st.dictionaries(
            st.one_of(tokens, st.sampled_from(["", "\n", "a\r\nb", "@\n", "\r", "\udc80", "\x85"])),
            st.integers(1, 9),
            max_size=6,
        ),
    )
)
def test_what_is_saved_comes_back(counter: dict[str, dict[str, int]]) -> None:
    vocabulary = Vocabulary(counter)
    assert Vocabulary.from_contents(vocabulary.contents()) == vocabulary


def test_a_token_that_could_not_be_read_back_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be saved"):
        Vocabulary({"labels": {"a@@NEWLINE@@b": 1}}).contents()


@pytest.mark.parametrize("namespace", ["a/b", "..", ".hidden", "", "a\\b", "non_padded_namespaces"])
def test_a_namespace_that_cannot_be_a_file_name_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a file name"):
        Vocabulary({namespace: {"x": 1}})


def test_saving_replaces_a_saved_vocabulary_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    Vocabulary({"labels": {"a": 1}, "words": {"x": 1}}).save_to_files(folder)
    Vocabulary({"labels": {"b": 1}}).save_to_files(folder)
    assert Vocabulary.from_files(folder) == Vocabulary({"labels": {"b": 1}})

    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="not a place for a vocabulary"):
        Vocabulary().save_to_files(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (folder / "model.bin").touch()
    with pytest.raises(ConfigurationError, match=r"model\.bin"):
        Vocabulary().save_to_files(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"labels.txt": b"a\n"}, r"non_padded_namespaces\.txt is missing"),
        ({"non_padded_namespaces.txt": b"", "labels.txt": b"a\n"}, "@@UNKNOWN@@ is missing"),
        ({"non_padded_namespaces.txt": b"*labels", "labels.txt": b"a\nb\na\n"}, "'a' stands there"),
        ({"non_padded_namespaces.txt": b"*labels", "labels.txt": b"\xff\xfe"}, "not UTF-8"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        Vocabulary.from_files(tmp_path)


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        Vocabulary.from_files(tmp_path / "nowhere")


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[Path]:
    Vocabulary({"labels": {"m": 1}}).save_to_files(tmp_path / "saved")
    yield tmp_path / "saved"


def test_a_saved_vocabulary_of_the_other_form_knows_the_names(tmp_path: Path) -> None:
    saved = {"non_padded_namespaces.txt": b"*labels\n", "labels.txt": "zoo\ncafe\u0301\n".encode()}
    vocabulary = Vocabulary.from_contents(saved)
    assert names(vocabulary) == ["zoo", "caf\u00e9"]
    both = {**saved, "labels.txt": "caf\u00e9\ncafe\u0301\n".encode()}
    assert Vocabulary.from_contents(both).get_vocab_size() == 2  # as many as the layer has outputs
