"""`Params`: the parameters of an experiment, as read from a jsonnet file."""

from __future__ import annotations

import hashlib
import json
import operator
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from allencv_al.common.config import translators
from allencv_al.common.config.sources.jsonnet_file import (
    apply_overrides,
    environment_variables,
    evaluate_file,
    evaluate_snippet,
)
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files import atomic_file
from allencv_al.common.files.json_values import plain, repr_json

EXAMPLE_OVERRIDES = '{"trainer.num_epochs": 3}'

# Strings and comments first, so that what they hold is no operator.
_MERGE_OPERATOR = re.compile(
    r"""\|\|\|.*?\|\|\||@"(?:[^"]|"")*"|@'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
    r"""|/\*.*?\*/|(?://|\#)[^\n]*|(?P<merge>\+\s*:)""",
    re.DOTALL,
)

PREFERRED_ORDER = (
    "dataset_reader",
    "validation_dataset_reader",
    "train_data_path",
    "validation_data_path",
    "test_data_path",
    "vocabulary",
    "model",
    "data_loader",
    "trainer",
)
_OF_EXPERIMENTS = "train_data_path"  # the key that only whole experiments have

Preference = Sequence[Sequence[str]]


class Params(MutableMapping[str, Any]):
    """A JSON object that knows where it stands in its config.

    Nested objects come back as `Params`, so that a message can name the whole path.

    Args:
        params: JSON values: dicts, lists, strings, numbers, booleans and None.
        history: The dotted path of this object in the config; empty at the top.
    """

    DEFAULT: ClassVar[object] = object()
    """The default of `pop` and its kin for a required key."""

    def __init__(self, params: Mapping[str, Any] | Params, history: str = "") -> None:
        if not isinstance(params, Mapping):
            raise ConfigurationError(
                f"Params: expected a mapping, found {type(params).__name__} {repr_json(params)}"
            )
        self.params: dict[str, Any] = params.params if isinstance(params, Params) else plain(params)
        self.history = history
        if not history and _OF_EXPERIMENTS in self.params:
            # By name, as this floor knows no higher one
            for name in translators:
                translate: Callable[[dict[str, Any]], None] = pkgutil.resolve_name(name)
                translate(self.params)

    @classmethod
    def from_file(
        cls,
        params_file: str | Path,
        params_overrides: str | Mapping[str, Any] = "",
        ext_vars: Mapping[str, str] | None = None,
    ) -> Params:
        """Read a jsonnet file.

        Args:
            params_file: The file; what it imports must lie in its folder tree.
            params_overrides: Jsonnet text or a mapping with dotted keys
                (`{"trainer.num_epochs": 1}`).
            ext_vars: Values for `std.extVar`, before those of the environment.

        Raises:
            ConfigurationError: Syntax errors (file:line:column), a missing variable, an override
                that matches nothing.
        """
        variables = {**environment_variables(), **(ext_vars or {})}
        # Not `parse_json`: jsonnet has refused NaN and keys that are there twice
        value = json.loads(evaluate_file(params_file, variables))
        if not isinstance(value, dict):
            raise ConfigurationError(
                f"{params_file}: expected an object at the top, found {type(value).__name__}"
            )
        return cls(apply_overrides(value, parse_overrides(params_overrides, variables)))

    def pop(self, key: str, default: Any = DEFAULT, keep_as_dict: bool = False) -> Any:
        """Remove and return `key`; nested objects come back as `Params`."""
        if key not in self.params:
            if default is self.DEFAULT:
                where = f' in "{self.history}"' if self.history else ""
                raise ConfigurationError(f'key "{key}" is required{where}')
            value = default
        else:
            value = self.params.pop(key)
        return value if keep_as_dict else self._wrap(key, value)

    def pop_int(self, key: str, default: Any = DEFAULT) -> int | None:
        """Remove and return `key` as an int; a string with digits counts."""
        value = self.pop(key, default)
        if value is None or type(value) is int:
            return value
        try:
            return int(value) if isinstance(value, str) else operator.index(value)
        except (TypeError, ValueError):
            raise self._unexpected(key, "int", value) from None

    def pop_float(self, key: str, default: Any = DEFAULT) -> float | None:
        """Remove and return `key` as a float; a string with a number counts."""
        value = self.pop(key, default)
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            raise self._unexpected(key, "float", value) from None

    def pop_bool(self, key: str, default: Any = DEFAULT) -> bool | None:
        """Remove and return `key` as a bool; the strings "true" and "false" count."""
        value = self.pop(key, default)
        if value is None or isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return bool(value == "true")
        raise self._unexpected(key, "true or false", value)

    def pop_choice(
        self,
        key: str,
        choices: list[Any],
        default_to_first_choice: bool = False,
        allow_class_names: bool = True,
    ) -> Any:
        """Remove and return `key`, which must be one of `choices`.

        Args:
            key: The key.
            choices: The values it may have.
            default_to_first_choice: Whether an absent key means the first of them.
            allow_class_names: Whether a string with a dot, which may be the full name of a class,
                is returned, too. Nothing is imported here.
        """
        value = self.pop(key, choices[0] if default_to_first_choice else self.DEFAULT)
        is_class_name = allow_class_names and isinstance(value, str) and "." in value
        if value not in choices and not is_class_name:
            raise self._unexpected(key, f"one of {choices}", value)
        return value

    def assert_empty(self, class_name: str) -> None:
        """Raise if keys are left that no component has read."""
        if self.params:
            where = f' at "{self.history}"' if self.history else ""
            raise ConfigurationError(f"unknown keys for {class_name}{where}: {sorted(self.params)}")

    def as_dict(self, quiet: bool = True, infer_type_and_cast: bool = False) -> dict[str, Any]:
        """Return the JSON object itself, not a copy, as AllenNLP does.

        Args:
            quiet: Accepted as in AllenNLP; nothing is logged.
            infer_type_and_cast: Whether to return a copy in which strings that look like numbers
                or booleans, as from environment variables, are these (see `infer_and_cast`).
        """
        if infer_type_and_cast:
            cast: dict[str, Any] = infer_and_cast(self.params)
            return cast
        return self.params

    def as_flat_dict(self) -> dict[str, Any]:
        """Return every value under its dotted key; lists are kept whole."""
        flat: dict[str, Any] = {}

        def walk(value: Mapping[str, Any], prefix: str) -> None:
            for key, inner in value.items():
                if isinstance(inner, dict) and inner:
                    walk(inner, f"{prefix}{key}.")
                else:
                    flat[f"{prefix}{key}"] = inner

        walk(self.params, "")
        return flat

    def as_ordered_dict(self, preference_orders: list[list[str]] | None = None) -> dict[str, Any]:
        """Return a copy in reading order: the data first, `type` first in each object.

        Args:
            preference_orders: Keys in the order they shall have, instead of that; of several lists
                the first counts most. Keys in no list come last, in alphabetical order.
        """
        if preference_orders:
            by_preference: dict[str, Any] = _ordered(self.params, preference_orders)
            return by_preference
        ordered: dict[str, Any] = _ordered(self.params, [PREFERRED_ORDER], [["type"]])
        return ordered

    def duplicate(self) -> Params:
        """Return a deep copy."""
        return Params(plain(self.params), self.history)

    def to_file(
        self, params_file: str | Path, preference_orders: list[list[str]] | None = None
    ) -> None:
        """Write the object as JSON in reading order (see `as_ordered_dict`)."""
        atomic_file.write_json(params_file, self.as_ordered_dict(preference_orders))

    def get_hash(self) -> str:
        """Return the SHA-256 of the object, independent of the order of its keys."""
        text = json.dumps(self.params, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def get(self, key: str, default: Any = DEFAULT) -> Any:
        """Return `key`, or `default` (None where none is given) where it is absent."""
        if key not in self.params:
            return None if default is self.DEFAULT else default
        return self._wrap(key, self.params[key])

    def __getitem__(self, key: str) -> Any:
        return self._wrap(key, self.params[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self.params[key] = plain(value)

    def __delitem__(self, key: str) -> None:
        del self.params[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.params)

    def __len__(self) -> int:
        return len(self.params)

    def __repr__(self) -> str:
        return f"Params({self.params!r})"

    def _path(self, key: str) -> str:
        return f"{self.history}.{key}" if self.history else key

    def _unexpected(self, key: str, wanted: str, found: Any) -> ConfigurationError:
        shown = repr_json(found)
        return ConfigurationError(f"{self._path(key)}: expected {wanted}, found {shown}")

    def _wrap(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return self._view(value, self._path(key))
        if isinstance(value, list):
            return [self._wrap(f"{key}.{i}", item) for i, item in enumerate(value)]
        return value

    @classmethod
    def _view(cls, params: dict[str, Any], history: str) -> Params:
        """Return `params` as `Params`, not a copy: what is set in it is set in the whole."""
        # Past the constructor, which copies and translates
        view = cls.__new__(cls)
        view.params = params
        view.history = history
        return view


def parse_overrides(
    overrides: str | Mapping[str, Any], variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the object that an `--overrides` text (jsonnet) stands for."""
    if not isinstance(overrides, str):
        given: dict[str, Any] = plain(overrides)
        return given
    if not overrides.strip():
        return {}
    if any(found["merge"] for found in _MERGE_OPERATOR.finditer(overrides)):
        # What it would add to is not in this text: it would replace the object silently.
        raise ConfigurationError(
            '--overrides: "+:" merges nothing into the config; dotted keys change single values: '
            f"'{EXAMPLE_OVERRIDES}'"
        )
    known = environment_variables() if variables is None else variables
    hint = f"expected an object such as '{EXAMPLE_OVERRIDES}', dotted keys in quotes"
    try:
        value = json.loads(evaluate_snippet("--overrides", overrides, known))
    except ConfigurationError as error:
        # Only a faulty text needs the hint; other errors say themselves what is wrong
        if not str(error.__cause__).startswith("STATIC ERROR"):
            raise
        raise ConfigurationError(f"{error}; {hint}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"--overrides: expected an object, found {repr_json(overrides)}; {hint}"
        )
    return value


def infer_and_cast(value: Any) -> Any:
    """Return a copy of JSON in which strings that look like a number or a boolean are these.

    For parameters that go to functions which cast nothing themselves, where a value comes from an
    environment variable and so is a string.
    """
    if isinstance(value, dict):
        return {key: infer_and_cast(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [infer_and_cast(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for number in (int, float):
        with suppress(ValueError):
            return number(value)
    return value


def _ordered(value: Any, preference: Preference, below: Preference | None = None) -> Any:
    """Return a copy with its keys in order; `below` is the preference of the objects inside."""
    inner = preference if below is None else below
    if isinstance(value, dict):

        def rank(key: str) -> tuple[list[int], str]:
            return [list(o).index(key) if key in o else len(o) for o in preference], key

        return {key: _ordered(value[key], inner) for key in sorted(value, key=rank)}
    if isinstance(value, list):
        return [_ordered(item, inner) for item in value]
    return value
