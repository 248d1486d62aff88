"""Class names (and other tokens) to indices and back."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from allencv_al.common import ConfigurationError, Registrable
from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, did_you_mean, listed
from allencv_al.data import vocabulary_files
from allencv_al.data.instance import LABEL_NAMESPACE

if TYPE_CHECKING:
    from allencv_al.data.instance import Instance

logger = logging.getLogger(__name__)

DEFAULT_NON_PADDED_NAMESPACES = ("*tags", "*labels")
DEFAULT_PADDING_TOKEN = "@@PADDING@@"  # noqa: S105
DEFAULT_OOV_TOKEN = "@@UNKNOWN@@"  # noqa: S105
_MOST_NAMES_SHOWN = 20
_Count = Annotated[int, Ge(1)]


class Vocabulary(Registrable):
    """Map the tokens of each namespace to the indices 0, 1, 2 ... and back.

    Class names live in the namespace `labels`, which has neither padding nor an unknown token. The
    tokens of such a namespace stand in the order of their Unicode code points, so that every
    machine gives a class the same index (`"10"` stands before `"2"`, as with torchvision's
    `ImageFolder` and scikit-learn's `LabelEncoder`). A name that is written in two Unicode forms is
    one token there. A namespace that is padded, as AllenNLP has
    for words, starts with the padding token (index 0) and the unknown token (index 1); the others
    follow with the most frequent first and equally frequent ones by code point.

    Args:
        counter: Frequency of each token, by namespace: `Vocabulary({"labels": {"Cat": 1234, "Dog":
            1234}})`.
        min_count: By namespace, how often a token must occur to be taken (1 where not given). A
            namespace that does not occur is allowed and has no effect.
        max_vocab_size: Take at most so many tokens of each namespace (or, as a dictionary, of the
            namespaces given), the most frequent ones; padding and unknown token not counted.
        non_padded_namespaces: Namespaces without padding and unknown token; `*labels` stands for
            every namespace that ends with `labels`.
        tokens_to_add: By namespace, tokens to have whether or not they are counted: the name of a
            class that has no example yet, for instance. Neither limit applies to them.
        padding_token: The token with index 0 in a padded namespace.
        oov_token: The token that stands for every unknown one in a padded namespace.

    Raises:
        ConfigurationError: A namespace cannot be a file name, or a limit is not positive.
    """

    builtin: ClassVar[dict[str, str]] = dict.fromkeys(
        ("from_instances", "from_files", "extend", "empty"), "allencv_al.data.vocabulary"
    )
    default_implementation: ClassVar[str | None] = "from_instances"
    injected: ClassVar[tuple[str, ...]] = ("instances",)

    def __init__(
        self,
        counter: dict[str, dict[str, int]] | None = None,
        min_count: dict[str, _Count] | None = None,
        max_vocab_size: _Count | dict[str, _Count] | None = None,
        non_padded_namespaces: Iterable[str] = DEFAULT_NON_PADDED_NAMESPACES,
        tokens_to_add: dict[str, list[str]] | None = None,
        padding_token: str = DEFAULT_PADDING_TOKEN,
        oov_token: str = DEFAULT_OOV_TOKEN,
    ) -> None:
        self._padding_token = padding_token
        self._oov_token = oov_token
        self._non_padded: set[str] = set()
        self._tokens: dict[str, list[str]] = {}
        self._indices: dict[str, dict[str, int]] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._extend(counter, min_count, max_vocab_size, non_padded_namespaces, tokens_to_add)

    # -- Ways to make one ---------------------------------------------------------------------

    @classmethod
    def from_instances(
        cls,
        instances: Iterable[Instance],
        min_count: dict[str, _Count] | None = None,
        max_vocab_size: _Count | dict[str, _Count] | None = None,
        non_padded_namespaces: Iterable[str] = DEFAULT_NON_PADDED_NAMESPACES,
        tokens_to_add: dict[str, list[str]] | None = None,
        padding_token: str = DEFAULT_PADDING_TOKEN,
        oov_token: str = DEFAULT_OOV_TOKEN,
    ) -> Vocabulary:
        """Count the labels of `instances`; no image is decoded.

        Args:
            instances: The items, of all the datasets that training will see.
            min_count: As in `Vocabulary`.
            max_vocab_size: As in `Vocabulary`.
            non_padded_namespaces: As in `Vocabulary`.
            tokens_to_add: As in `Vocabulary`.
            padding_token: As in `Vocabulary`.
            oov_token: As in `Vocabulary`.
        """
        vocabulary = cls(padding_token=padding_token, oov_token=oov_token)
        counter = _count(instances)
        vocabulary._extend(counter, min_count, max_vocab_size, non_padded_namespaces, tokens_to_add)
        return vocabulary

    @classmethod
    def from_files(
        cls,
        directory: str | Path,
        padding_token: str = DEFAULT_PADDING_TOKEN,
        oov_token: str = DEFAULT_OOV_TOKEN,
    ) -> Vocabulary:
        """Read what `save_to_files` (ours or AllenNLP's) wrote.

        Args:
            directory: The folder `vocabulary` of a run; hidden files in it are ignored.
            padding_token: The padding token it was made with.
            oov_token: The unknown token it was made with.

        Raises:
            DataError: There is no vocabulary, or a file of it is damaged.
        """
        contents = vocabulary_files.read(Path(directory))
        return cls.from_contents(contents, padding_token, oov_token, source=str(directory))

    @classmethod
    def from_contents(
        cls,
        contents: Mapping[str, bytes],
        padding_token: str = DEFAULT_PADDING_TOKEN,
        oov_token: str = DEFAULT_OOV_TOKEN,
        source: str = "the vocabulary",
    ) -> Vocabulary:
        """Make one from the contents of its files, by file name: an archive's members, say.

        Raises:
            DataError: A file is missing or damaged.
        """
        patterns, namespaces = vocabulary_files.parse(contents, source)
        vocabulary = cls(
            non_padded_namespaces=patterns, padding_token=padding_token, oov_token=oov_token
        )
        for namespace, tokens in namespaces.items():
            vocabulary._open_namespace(namespace)
            if vocabulary.is_padded(namespace) and oov_token not in tokens:
                raise DataError(
                    f"{source}/{namespace}.txt: the unknown token {oov_token} is missing, which a "
                    "padded namespace has; is oov_token the one the vocabulary was made with?"
                )
            if not vocabulary.is_padded(namespace):
                tokens = _spelled_once(tokens)
            vocabulary._replace_tokens(namespace, tokens)
        return vocabulary

    @classmethod
    def from_files_and_instances(
        cls,
        instances: Iterable[Instance],
        directory: str | Path,
        min_count: dict[str, _Count] | None = None,
        max_vocab_size: _Count | dict[str, _Count] | None = None,
        non_padded_namespaces: Iterable[str] = DEFAULT_NON_PADDED_NAMESPACES,
        tokens_to_add: dict[str, list[str]] | None = None,
        padding_token: str = DEFAULT_PADDING_TOKEN,
        oov_token: str = DEFAULT_OOV_TOKEN,
    ) -> Vocabulary:
        """Read a saved vocabulary, then add what `instances` hold; saved tokens keep their index.

        Args:
            instances: The items whose tokens are added.
            directory: The folder of the saved vocabulary.
            min_count: As in `Vocabulary`, for the tokens added.
            max_vocab_size: As in `Vocabulary`, for the tokens added.
            non_padded_namespaces: As in `Vocabulary`, besides those of the saved one.
            tokens_to_add: As in `Vocabulary`.
            padding_token: The padding token it was made with.
            oov_token: The unknown token it was made with.
        """
        vocabulary = cls.from_files(directory, padding_token, oov_token)
        vocabulary._extend(
            _count(instances), min_count, max_vocab_size, non_padded_namespaces, tokens_to_add
        )
        return vocabulary

    @classmethod
    def empty(cls) -> Vocabulary:
        """Make one that holds nothing."""
        return cls()

    # -- Growing ------------------------------------------------------------------------------

    def extend_from_instances(self, instances: Iterable[Instance]) -> None:
        """Add the tokens of `instances` that are not known yet, behind the known ones."""
        self._extend(_count(instances), None, None, (), None)

    def extend_from_vocab(self, other: Vocabulary) -> None:
        """Add the tokens of `other` that are not known yet, behind the known ones.

        Raises:
            ConfigurationError: A namespace is padded in one and not in the other.
        """
        self._non_padded |= other._non_padded
        for namespace, tokens in other._tokens.items():
            self._require_padding(namespace, other.is_padded(namespace))
            # Its padding and unknown token: this vocabulary has its own
            skipped = 2 if other.is_padded(namespace) else 0
            self.add_tokens_to_namespace(tokens[skipped:], namespace)

    def add_token_to_namespace(self, token: str, namespace: str = LABEL_NAMESPACE) -> int:
        """Add `token` behind the others, unless it is known; return its index.

        Raises:
            ValueError: `token` is not a string.
        """
        if not isinstance(token, str):
            raise ValueError(f"a token must be a string, found {token!r} ({type(token).__name__})")
        self._open_namespace(namespace)
        indices = self._indices[namespace]
        if token not in indices and not self.is_padded(namespace):
            token = _spelled(token)
        if token not in indices:
            indices[token] = len(indices)
            self._tokens[namespace].append(token)
        return indices[token]

    def add_tokens_to_namespace(
        self, tokens: Iterable[str], namespace: str = LABEL_NAMESPACE
    ) -> list[int]:
        """Add each token that is not known, in the order given; return their indices."""
        return [self.add_token_to_namespace(token, namespace) for token in tokens]

    # -- Looking up ---------------------------------------------------------------------------

    def is_padded(self, namespace: str) -> bool:
        """Return whether the namespace has a padding token and an unknown token."""
        if namespace in self._tokens:
            # What it was opened with counts: patterns may have come since, and must move no index
            return self._tokens[namespace][:1] == [self._padding_token]
        return not any(_matches(pattern, namespace) for pattern in self._non_padded)

    def get_namespaces(self) -> set[str]:
        """Return the names of the namespaces that hold something."""
        return set(self._tokens)

    def get_vocab_size(self, namespace: str = LABEL_NAMESPACE) -> int:
        """Return the number of tokens, the padding and the unknown token among them."""
        if namespace not in self._tokens:
            return 2 if self.is_padded(namespace) else 0
        return len(self._tokens[namespace])

    def get_token_index(self, token: str, namespace: str = LABEL_NAMESPACE) -> int:
        """Return the index of `token`; in a padded namespace, the unknown token's if need be.

        Raises:
            KeyError: `token` is not known; the message names some that are.
        """
        indices = self._indices.get(namespace, {})
        # As it is first: a padded namespace holds tokens in spellings of their own
        index = indices.get(token, indices.get(_spelled(token)))
        if index is None and self.is_padded(namespace):
            index = indices.get(self._oov_token, 1)
        if index is None:
            raise KeyError(self.describe_unknown(token, namespace))
        return index

    def get_token_from_index(self, index: int, namespace: str = LABEL_NAMESPACE) -> str:
        """Return the token with this index.

        Raises:
            KeyError: There is none.
        """
        tokens = self._tokens.get(namespace, [])
        if not 0 <= index < len(tokens):
            raise KeyError(f'no index {index} in namespace "{namespace}": it has {len(tokens)}')
        return tokens[index]

    def get_index_to_token_vocabulary(self, namespace: str = LABEL_NAMESPACE) -> dict[int, str]:
        """Return every index of the namespace with its token."""
        return dict(enumerate(self._tokens.get(namespace, [])))

    def get_token_to_index_vocabulary(self, namespace: str = LABEL_NAMESPACE) -> dict[str, int]:
        """Return every token of the namespace with its index."""
        return dict(self._indices.get(namespace, {}))

    def describe_unknown(self, token: str, namespace: str = LABEL_NAMESPACE) -> str:
        """Describe an unknown `token`, with similar and known names."""
        tokens = self._tokens.get(namespace, [])
        if not tokens:
            return f'{repr_json(token)} is not in namespace "{namespace}", which holds nothing'
        known = listed(tokens, _MOST_NAMES_SHOWN)
        near = did_you_mean(str(token), tokens)
        return f'{repr_json(token)} is not in namespace "{namespace}" ({known}){near}'

    def print_statistics(self) -> None:
        """Log how many tokens each namespace has, and how often the labels were counted."""
        for namespace, tokens in sorted(self._tokens.items()):
            counts = self._counts.get(namespace, {})
            shown = ", ".join(
                f"{token} ({counts[token]})" if token in counts else token
                for token in tokens[:_MOST_NAMES_SHOWN]
            )
            more = " ..." if len(tokens) > _MOST_NAMES_SHOWN else ""
            logger.info("vocabulary %s: %d tokens: %s%s", namespace, len(tokens), shown, more)

    # -- Files --------------------------------------------------------------------------------

    def save_to_files(self, directory: str | Path) -> None:
        """Write one text file per namespace, whole or not at all; a saved one is replaced.

        The format is AllenNLP's: one token per line in the order of the indices, the padding token
        left out, and `non_padded_namespaces.txt`.

        Raises:
            ConfigurationError: The folder holds something that is not a vocabulary.
        """
        vocabulary_files.write(Path(directory), self.contents())

    def contents(self) -> dict[str, bytes]:
        """Return the contents of the files that `save_to_files` writes, by file name."""
        namespaces = {
            namespace: tokens[1:] if self.is_padded(namespace) else tokens
            for namespace, tokens in self._tokens.items()
        }
        return vocabulary_files.compose(self._non_padded, namespaces)

    # -- Inside -------------------------------------------------------------------------------

    def _extend(
        self,
        counter: Mapping[str, Mapping[str, int]] | None,
        min_count: Mapping[str, int] | None,
        max_vocab_size: int | Mapping[str, int] | None,
        non_padded_namespaces: Iterable[str],
        tokens_to_add: Mapping[str, Iterable[str]] | None,
    ) -> None:
        counter, min_count, added = counter or {}, min_count or {}, tokens_to_add or {}
        for name, limit in (("min_count", min_count), ("max_vocab_size", max_vocab_size)):
            for message in _limit_faults(limit):
                raise ConfigurationError(f"{name}: {message}")
        patterns = tuple(non_padded_namespaces)
        self._non_padded |= set(patterns)
        for namespace in sorted({*counter, *added}):
            counts = counter.get(namespace, {})
            self._require_padding(
                namespace, not any(_matches(pattern, namespace) for pattern in self._non_padded)
            )
            padded = self.is_padded(namespace)
            if not padded:
                counts = _counted_once(counts)
            largest = max_vocab_size if isinstance(max_vocab_size, int) else None
            if isinstance(max_vocab_size, Mapping):
                largest = max_vocab_size.get(namespace)
            tokens = _most_frequent(counts, min_count.get(namespace, 1), largest)
            more = added.get(namespace, ())
            tokens.extend(more if padded else map(class_name, more))
            # Class names sort by code point: the same indices on every machine and locale
            self.add_tokens_to_namespace(tokens if padded else sorted(set(tokens)), namespace)
            self._note_counts(namespace, counts)

    def _note_counts(self, namespace: str, counts: Mapping[str, int]) -> None:
        noted = self._counts.setdefault(namespace, {})
        for token, count in counts.items():
            noted[token] = noted.get(token, 0) + count

    def _require_padding(self, namespace: str, padded: bool) -> None:
        # Padding would move the index of every token, and with it the meaning of each logit
        if namespace in self._tokens and self.is_padded(namespace) != padded:
            found, wanted = ("padded", "not padded") if not padded else ("not padded", "padded")
            raise ConfigurationError(
                f"non_padded_namespaces: the namespace {namespace!r} is {found} in the vocabulary "
                f"that is extended, and {wanted} in what is added"
            )

    def _open_namespace(self, namespace: str) -> None:
        if namespace in self._tokens:
            return
        vocabulary_files.require_file_name(namespace)
        self._replace_tokens(namespace, [self._oov_token] if self.is_padded(namespace) else [])

    def _replace_tokens(self, namespace: str, tokens: list[str]) -> None:
        padding = [self._padding_token] if self.is_padded(namespace) else []
        self._tokens[namespace] = [*padding, *tokens]
        self._indices[namespace] = {
            token: index for index, token in enumerate(self._tokens[namespace])
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self._identity() == other._identity()

    __hash__ = None  # type: ignore[assignment]  # it can grow

    def _identity(self) -> tuple[object, ...]:
        """Return all that lookups depend on: the counts are not saved, so they do not count."""
        return self._tokens, self._non_padded, self._padding_token, self._oov_token

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(tokens)}" for name, tokens in sorted(self._tokens.items()))
        return f"Vocabulary({sizes or 'empty'})"


def _count(instances: Iterable[Instance]) -> dict[str, dict[str, int]]:
    counter: dict[str, dict[str, int]] = {}
    for instance in instances:
        instance.count_vocab_items(counter)
    return counter


def _spelled(token: str) -> str:
    """Return a token in Unicode's composed form: what looks the same is one class."""
    return token if token.isascii() else unicodedata.normalize("NFC", token)


def _spelled_once(tokens: list[str]) -> list[str]:
    """Return the tokens of a saved vocabulary in their one spelling, where they stay distinct."""
    spelled = [*map(_spelled, tokens)]
    # An old vocabulary may have two spellings of one name, and a model has a logit for each
    return spelled if len(set(spelled)) == len(tokens) else tokens


def _counted_once(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return the counts with all spellings of a name under one."""
    found: dict[str, int] = {}
    for token, count in counts.items():
        name = _spelled(token)
        found[name] = found.get(name, 0) + count
    return found


def _most_frequent(counts: Mapping[str, int], least: int, largest: int | None) -> list[str]:
    taken = [token for token, count in counts.items() if count >= least]
    # By name among equally frequent ones: a limit must not depend on the order of the data
    taken.sort(key=lambda token: (-counts[token], token))
    return taken[:largest]


def _matches(pattern: str, namespace: str) -> bool:
    if pattern.startswith("*"):
        return namespace.endswith(pattern[1:])
    return namespace == pattern


def _limit_faults(limits: int | Mapping[str, int] | None) -> Iterator[str]:
    by_name = limits if isinstance(limits, Mapping) else {"": limits}
    for namespace, limit in by_name.items():
        if limit is not None and limit < 1:
            place = f" for {namespace!r}" if namespace else ""
            yield f"expected a positive number{place}, found {limit}"


# The class is its own family: each name is another way to make one
Vocabulary.register("from_instances", constructor="from_instances")(Vocabulary)
Vocabulary.register("from_files", constructor="from_files")(Vocabulary)
Vocabulary.register("extend", constructor="from_files_and_instances")(Vocabulary)
Vocabulary.register("empty", constructor="empty")(Vocabulary)
