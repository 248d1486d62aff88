"""`FromParams`: build an object from parameters; its constructor's signature is the schema."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Self, cast

from allencv_al.common.config.config_check import ConfigView, check_call
from allencv_al.common.config.configurable import Configurable
from allencv_al.common.config.params import Params
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.config.specs.object_specs import ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.config.targets import build_by, by_signature
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.files.json_values import plain


class FromParams(Configurable):
    """The base of every class that a config can describe."""

    if not TYPE_CHECKING:  # for type checkers the constructor is __init__ alone

        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            """Check what Python code passes by the limits of the annotations (`check_call`).

            Here, not in `__init__`: it is called once, with the arguments of the class itself, and
            before anything is done with them.
            """
            new = super().__new__
            if args or kwargs:
                if new is object.__new__ and cls.__init__ is object.__init__:
                    # object refuses arguments only where there is no other __new__
                    raise TypeError(f"{cls.__name__}() takes no arguments")
                check_call(cls, args, kwargs)
            return new(cls) if new is object.__new__ else new(cls, *args, **kwargs)

    @classmethod
    @by_signature
    def from_params(
        cls,
        params: Params | Mapping[str, Any] | str | None = None,
        constructor_to_call: Callable[..., Any] | None = None,
        constructor_to_inspect: Callable[..., Any] | None = None,
        **extras: Any,
    ) -> Self:
        """Build an object.

        Args:
            params: The parameters: for a registered family, `type` and the arguments of that
                class. A string is short for `{"type": string}`. None: no parameters.
            constructor_to_call: What builds the object instead of the class itself: a `from_params`
                of a class's own hands on what it was given (as in AllenNLP).
            constructor_to_inspect: Accepted as in AllenNLP; the signature of `constructor_to_call`
                counts.
            **extras: Values that the program gives (`vocab=vocab`). They reach every part below
                whose constructor names them; a value in `params` wins.

        Raises:
            ConfigurationFaults: Everything that is wrong, each with its path; nothing was built.
        """
        path = params.history if isinstance(params, Params) else ""
        value: Any = {} if params is None else params
        if not isinstance(value, (Mapping, str)):
            raise ConfigurationError(
                f"{cls.__name__}.from_params: expected Params, a mapping or a name, "
                f"found {type(value).__name__}"
            )
        # By way of Params, which translate the config of an experiment from older spellings
        value = value if isinstance(value, str) else Params(plain(value), path).params
        if constructor_to_call is not None and constructor_to_call is not cls:
            called: Self = build_by(constructor_to_call, value, path, extras)
            return called
        # A from_params of the class's own may end in super().from_params(...), which is this.
        spec, scope = ObjectSpec(cls, by_constructor=True), Scope(extras=extras)
        faults = list(spec.faults(value, path, scope))
        if faults:
            raise ConfigurationFaults(faults, f"the parameters of {cls.__name__}")
        built: Self = spec.build(value, path, scope)
        return built

    def to_params(self) -> Params:
        """Return parameters from which `from_params` builds an object like this one.

        Raises:
            NotImplementedError: An argument of the constructor is not kept under its name (then the
                class needs a `_to_params`), or has a value that a config cannot express.
        """
        return Params(_as_config(self._to_params(), type(self).__name__))

    def _to_params(self) -> dict[str, Any]:
        """Return the arguments by name; parts may be objects that have a `to_params`."""
        found: dict[str, Any] = {}
        for name, argument in signature_of(cast(Hashable, type(self))).arguments.items():
            if name in self.injected:
                continue
            kept = next((key for key in (name, f"_{name}") if key in vars(self)), None)
            if kept is not None:
                found[name] = vars(self)[kept]
            elif argument.required:
                raise NotImplementedError(
                    f"{type(self).__name__}: the argument {name} is not kept under its name; "
                    "write a _to_params() that returns the arguments"
                )
        return found

    @classmethod
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        """Yield what types cannot say is wrong; called before anything is built.

        Args:
            config: The arguments in the config, with which of them are already known to be wrong.
        """
        return iter(())


def _as_config(value: Any, owner: str) -> Any:
    """Return `value` as JSON, objects by their parameters."""
    if isinstance(value, FromParams):
        return value.to_params().as_dict()
    if isinstance(value, Mapping):
        return {key: _as_config(inner, owner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_config(inner, owner) for inner in value]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise NotImplementedError(
        f"{owner}: a config cannot express {type(value).__name__}; "
        "write a _to_params() that returns arguments a config can have"
    )
