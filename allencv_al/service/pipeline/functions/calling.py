"""Calling conventions of users' functions: one payload, keywords, or args first."""

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
_VARIABLE = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


class Payload(dict[str, Any]):
    """Payload of a function with one parameter: a dictionary of the documented keys.

    Attributes hold the rest: `loop`, `args`, `logdir`.
    """

    loop: int | None
    args: dict[str, Any]
    logdir: str | None


class UserFunction:
    """A user's function, called according to its parameters.

    Parameters named labeled, unlabeled, resume_from, ckpt_file, logdir, cur_loop, args or labels
    are passed by keyword. A first parameter with another name gets `args`; it gets the payload
    instead if it is the only required parameter, no parameter has a known name, and it is not
    named config_args.

    Args:
        function: The function.
        phase: train, test, infer or getdatasetstate.
        known: Names of the values that this phase passes.
        convention: One of `CONVENTIONS`; `auto` decides by the parameters.

    Raises:
        ConfigurationError: It is not a function, is async or a generator, or requires a parameter
            that no phase passes.
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
                f"{phase}_fn: expected a function whose work is done when it returns, found {kind}"
            )
        self.phase = phase
        self._function = function
        self._known = known
        signature = _signature(function)
        self._parameters = {one.name: one for one in signature if one.kind not in _VARIABLE}
        self._takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature)
        self._takes_payload = False
        self._first_gets_args = False
        self._settle(convention)

    def __call__(
        self, payload: Mapping[str, Any], args: dict[str, Any], loop: int | None, logdir: str | None
    ) -> Any:
        """Call the function.

        Args:
            payload: Documented values of the phase; lists are copied.
            args: The pipeline's settings; always the same object.
            loop: Loop number.
            logdir: Folder for the function's logs.
        """
        # Copied: a function may change its lists, and the request is needed again for the record
        fresh = {
            key: list(value) if isinstance(value, list) else value for key, value in payload.items()
        }
        if self._takes_payload:
            found = Payload(fresh)
            found.loop, found.args, found.logdir = loop, args, logdir
            return self._function(found)
        values = {**fresh, "args": args, "logdir": logdir, "cur_loop": loop}
        if "labels" in self._parameters:  # absent in some requests
            values.setdefault("labels", None)
        names = values if self._takes_all else self._parameters
        keywords = {name: values[name] for name in names if name in values}
        if not self._first_gets_args:
            return self._function(**keywords)
        keywords.pop(next(iter(self._parameters)), None)
        if self._takes_all:  # **kwargs would get args a second time
            keywords.pop("args", None)
        return self._function(args, **keywords)

    def _settle(self, convention: str) -> None:
        named = [name for name in self._parameters if name in KNOWN]
        required = [name for name, one in self._parameters.items() if one.default is one.empty]
        first = next(iter(self._parameters), None)
        is_other = (
            first is not None
            and first not in KNOWN
            and self._parameters[first].kind is not inspect.Parameter.KEYWORD_ONLY
        )
        if convention == "payload":
            self._takes_payload = True
        elif convention == "args":
            self._first_gets_args = first is not None and first != "args"
        elif convention == "auto" and is_other and first is not None:
            # A function of one parameter with a name of its own takes the whole payload
            alone = required in ([first], []) and not named
            self._takes_payload = alone and first not in _CONFIG_NAMES and required == [first]
            self._first_gets_args = not self._takes_payload and (
                required[:1] == [first] or first in _CONFIG_NAMES
            )
        if self._takes_payload:
            return
        given = {*self._known, "args", "logdir", "cur_loop"}
        unknown = [
            name
            for name in required
            if name not in given and not (self._first_gets_args and name == first)
        ]
        if unknown:
            raise ConfigurationError(
                f"{self.phase}_fn: unknown required parameter {', '.join(unknown)}; "
                f"expected some of {', '.join(sorted(given))}, or one payload"
            )


@contextmanager
def unchanged_folder() -> Iterator[None]:
    """Restore the current folder at the end of the block."""
    before = None
    with suppress(OSError):  # removed by the function
        before = os.getcwd()  # noqa: PTH109  a string: nothing is resolved
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.chdir(before)


def _deferred_kind(function: Callable[..., Any]) -> str | None:
    """Return the kind of a function whose call does not run its body; None for others."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "an async function": inspect.iscoroutinefunction,
        "an async generator (async def with yield)": inspect.isasyncgenfunction,
        "a generator (def with yield)": inspect.isgeneratorfunction,
    }
    for one in (function, getattr(function, "__call__", None)):  # noqa: B004  the method of a callable object
        for kind, is_it in kinds.items():
            if is_it(one):
                return kind
    return None


def _signature(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function; one that is written in C gets the payload."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [inspect.Parameter("payload", inspect.Parameter.POSITIONAL_ONLY)]
