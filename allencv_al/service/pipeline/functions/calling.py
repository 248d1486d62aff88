"""Call user functions with the payload, with keywords, or with args first."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from allencv_al.common.errors import ConfigurationError

CONVENTIONS = ("auto", "payload", "kwargs", "args")
KNOWN = (
    *("labeled", "unlabeled", "resume_from", "ckpt_file", "logdir", "cur_loop", "args"),
    "labels",
)
_CONFIG_NAMES = ("args", "config_args")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Payload(dict[str, Any]):
    """The payload of a function with one parameter: a dictionary with the documented keys only.

    What else a phase knows are attributes: `loop`, `args`, `logdir`.
    """

    loop: int | None
    args: dict[str, Any]
    logdir: str | None


class UserFunction:
    """A user's function, called as its parameters say.

    Parameters that are named labeled, unlabeled, resume_from, ckpt_file, logdir, cur_loop, args or
    labels are passed by keyword. A first parameter of another name gets `args`, unless it is the
    only required one, no known name is there, and it is not called config_args: then it gets the
    payload.

    Args:
        function: The function.
        phase: What it does: train, test, infer or getdatasetstate.
        known: The names of the values of this phase.
        convention: One of `CONVENTIONS`; `auto` looks at the parameters.

    Raises:
        ConfigurationError: It is no function, is async or a generator, or has unknown parameters.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        phase: str,
        known: tuple[str, ...],
        convention: str = "auto",
    ) -> None:
        if convention not in CONVENTIONS:
            expected = ", ".join(CONVENTIONS)
            raise ConfigurationError(f"calling: expected one of {expected}, found {convention!r}")
        if not callable(function):
            raise ConfigurationError(f"{phase}_fn: expected a function, found {function!r:.80}")
        if (kind := _deferred_kind(function)) is not None:
            raise ConfigurationError(
                f"{phase}_fn: expected a function that has done its work when it returns, found "
                f"{kind}, which does nothing until another function runs it"
            )
        self.phase = phase
        self._function = function
        self._known = known
        self._parameters = _parameters(function)
        self._takes_payload = False
        self._first_gets_args = False
        self._settle(convention)

    def __call__(
        self, payload: Mapping[str, Any], args: dict[str, Any], loop: int | None, logdir: str | None
    ) -> Any:
        """Call it.

        Args:
            payload: The documented values of the phase; lists are copied.
            args: The dictionary of the pipeline, which is always the same object.
            loop: The number of the loop.
            logdir: Where it may write.
        """
        fresh = {
            key: list(value) if isinstance(value, list) else value for key, value in payload.items()
        }
        if self._takes_payload:
            found = Payload(fresh)
            found.loop, found.args, found.logdir = loop, args, logdir
            return self._function(found)
        values = {**fresh, "args": args, "logdir": logdir, "cur_loop": loop}
        if "labels" in self._parameters:  # which not every request has
            values.setdefault("labels", None)
        first = [args] if self._first_gets_args else []
        return self._function(*first, **self._keywords(values))

    def _settle(self, convention: str) -> None:
        named = [name for name in self._parameters if name in KNOWN]
        required = [name for name, one in self._parameters.items() if _is_required(one)]
        first = next(iter(self._parameters), None)
        is_other = (
            first is not None and first not in KNOWN and _is_positional(self._parameters[first])
        )
        if convention == "payload":
            self._takes_payload = True
        elif convention == "args":
            self._first_gets_args = first is not None and first != "args"
        elif convention == "auto" and is_other and first is not None:
            alone = required in ([first], []) and not named
            self._takes_payload = alone and first not in _CONFIG_NAMES and required == [first]
            self._first_gets_args = not self._takes_payload and (
                required[:1] == [first] or first in _CONFIG_NAMES
            )
        if not self._takes_payload:
            self._check(required, first)

    def _check(self, required: list[str], first: str | None) -> None:
        given = {*self._known, "args", "logdir", "cur_loop"}
        unknown = [
            name
            for name in required
            if name not in given and not (self._first_gets_args and name == first)
        ]
        if unknown:
            raise ConfigurationError(
                f"{self.phase}_fn: nothing is there for the parameter {', '.join(unknown)}; "
                f"expected some of {', '.join(sorted(given))}, or one payload"
            )

    def _keywords(self, values: Mapping[str, Any]) -> dict[str, Any]:
        takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in self._all_parameters())
        names = values if takes_all else self._parameters
        skipped = next(iter(self._parameters), None) if self._first_gets_args else None
        return {
            name: values[name]
            for name in names
            if name in values and name != skipped and not (takes_all and name == "args" and skipped)
        }

    def _all_parameters(self) -> list[inspect.Parameter]:
        return _signature(self._function)


@contextmanager
def unchanged_folder() -> Iterator[None]:
    """Return to the current folder at the end of the block, wherever that has gone."""
    before = None
    with suppress(OSError):  # it was removed meanwhile
        before = os.getcwd()  # noqa: PTH109  a text: nothing is resolved
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.chdir(before)


def _deferred_kind(function: Callable[..., Any]) -> str | None:
    """Return what a function is whose call only makes something to be run; None for others."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "an async function": inspect.iscoroutinefunction,
        "an async generator (async def with yield)": inspect.isasyncgenfunction,
        "a generator (def with yield)": inspect.isgeneratorfunction,
    }
    for one in (function, getattr(function, "__call__", None)):  # noqa: B004  of an object
        for kind, is_it in kinds.items():
            if is_it(one):
                return kind
    return None


def _signature(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C
        return [inspect.Parameter("payload", inspect.Parameter.POSITIONAL_ONLY)]


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {one.name: one for one in _signature(function) if one.kind not in variable}


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in _POSITIONAL
