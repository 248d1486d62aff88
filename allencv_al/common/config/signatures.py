"""A constructor's signature, as the schema of the object it builds."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Optional, cast

REQUIRED = inspect.Parameter.empty

_ARGUMENT = re.compile(r"^(\*{0,2}\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a constructor.

    Args:
        name: Its name, which is its key in a config.
        annotation: Its resolved annotation; `Any` where there is none.
        default: Its default, or `REQUIRED`.
        description: Its line in the docstring.
    """

    name: str
    annotation: Any
    default: Any
    description: str

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a constructor, those of its superclass included where it has `**kwargs`.

    Args:
        arguments: The parameters by name, in order.
        accepts_any: Whether unknown keys are passed on (`**kwargs` with no typed superclass).
        passed_on: Names of parameters of superclasses that do not derive from `FromParams`, which
            `**kwargs` reach; None: `**kwargs` end in the constructor itself, which takes any name.
    """

    arguments: Mapping[str, Argument]
    accepts_any: bool
    passed_on: frozenset[str] | None = frozenset()

    def takes(self, name: str) -> bool:
        """Return whether the constructor takes a value of the program called `name`."""
        if name in self.arguments:
            return True
        return self.accepts_any and (self.passed_on is None or name in self.passed_on)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An annotation that cannot be evaluated at run time.

    Args:
        text: The annotation as it is written.
        reason: Why not.
    """

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A class or function of a library, whose parameters a class of this package takes.

    The class has it as its attribute `wraps`, and a constructor that ends in `**options`. Between
    the parameters of that constructor (before those behind `*`) come the ones of the library, with
    their defaults. The docstrings of the class and of its bases describe them; where they do not,
    that of the library does. ::

        class SGD(Optimizer, torch.optim.SGD):
            wraps = Wrapped(
                torch.optim.SGD,
                omit=("params", "maximize"),
                annotations={"lr": Annotated[float, Ge(0)]},
            )

            def __init__(self, model_parameters: Parameters, **options: Any) -> None:
                torch.optim.SGD.__init__(self, model_parameters, **self.wraps.call(options))

    Args:
        target: The class or function; `"module:name"` imports it only when its parameters are
            asked for, by the check of a config, for example.
        omit: Parameters that a config cannot set.
        rename: Names that differ, by the library's name.
        annotations: Types with limits in place of the library's, by this package's names. A name
            that the library does not know is ignored, so that a table can serve many classes.
        defaults: Defaults that differ, by this package's names.
    """

    target: Callable[..., Any] | str
    omit: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self) -> Callable[..., Any]:
        """Return the class or function, imported if it is not yet."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    def call(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of the library for `options` of this package."""
        theirs = {ours: name for name, ours in self.rename.items()}
        return {
            theirs.get(name, name): value for name, value in {**self.defaults, **options}.items()
        }

    def arguments(self, descriptions: Mapping[str, str]) -> dict[str, Argument]:
        """Return the parameters, described by `descriptions` before the library's docstring."""
        target = self.resolve()
        found: dict[str, Argument] = {}
        for theirs, argument in signature_of(cast(Hashable, target)).arguments.items():
            if theirs in self.omit:
                continue
            name = self.rename.get(theirs, theirs)
            annotation = self.annotations.get(name, argument.annotation)
            default = self.defaults.get(name, argument.default)
            if type(default) is int and float in (annotation, *typing.get_args(annotation)):
                default = float(default)  # torch writes `momentum: float = 0`
            description = descriptions.get(name, argument.description)
            found[name] = Argument(name, annotation, default, description)
        return found


@functools.cache
def signature_of(cls: Callable[..., Any], constructor: str | None = None) -> Signature:
    """Return the signature of a class, of its classmethod `constructor`, or of a function."""
    if not isinstance(cls, type):
        own, has_kwargs = _read(cls, None, argument_descriptions(cls), skip_first=False)
        return Signature(own, has_kwargs, None if has_kwargs else frozenset())
    if constructor is None:
        return _init_signature(cls, _classes_with_init(cls))
    method = getattr(cls, constructor)
    descriptions = {**argument_descriptions(cls), **argument_descriptions(method)}
    own, has_kwargs = _read(method, cls, descriptions, skip_first=False)
    if not has_kwargs:
        return Signature(own, accepts_any=False)
    return _joined(own, _init_signature(cls, _classes_with_init(cls)))


def _classes_with_init(cls: type) -> list[type]:
    """Return the classes of the inheritance chain with a constructor of their own."""
    return [
        base
        for base in cls.__mro__
        if "__init__" in vars(base) and isinstance(vars(base)["__init__"], types.FunctionType)
    ]


def _init_signature(cls: type, chain: list[type]) -> Signature:
    if not chain:
        return Signature({}, accepts_any=False)
    owner, *rest = chain
    # A dataclass repeats no constructor for the fields it inherits, nor their descriptions
    inherited = _base_descriptions(owner) if dataclasses.is_dataclass(owner) else {}
    descriptions = {
        **inherited,
        **argument_descriptions(owner),
        **argument_descriptions(vars(owner)["__init__"]),
        **(argument_descriptions(cls) if cls is not owner else {}),
    }
    own, has_kwargs = _read(vars(owner)["__init__"], owner, descriptions, skip_first=True)
    if not has_kwargs:
        return Signature(own, accepts_any=False)
    # Of a class that knows configs only: `wraps` of another may be anything
    wraps: Wrapped | None = getattr(cls, "wraps", None) if hasattr(cls, "from_params") else None
    typed = [base for base in rest if hasattr(base, "from_params")]
    if typed:
        return _joined(own, _init_signature(typed[0] if wraps is None else cls, typed))
    if wraps is not None:
        wrapped = wraps.arguments(_base_descriptions(cls))
        return Signature(_with_wrapped(own, wrapped, owner), accepts_any=False)
    # torch.nn.Module takes **kwargs, too, but only to refuse them
    # A user's own class may still do something with them
    is_ours = hasattr(owner, "from_params") or owner is cls
    return Signature(own, accepts_any=is_ours, passed_on=_reached_by_kwargs(rest))


def _base_descriptions(cls: type) -> dict[str, str]:
    """Return the descriptions in the docstrings of a class and its bases, nearest first."""
    return {
        name: text
        for base in reversed(cls.__mro__)
        if hasattr(base, "from_params")
        for name, text in argument_descriptions(base).items()
    }


def _with_wrapped(
    own: Mapping[str, Argument], wrapped: Mapping[str, Argument], owner: type
) -> dict[str, Argument]:
    """Return the parameters in order: the library's between the positional and the keyword ones."""
    parameters = inspect.signature(vars(owner)["__init__"]).parameters
    last = [name for name in own if parameters[name].kind is inspect.Parameter.KEYWORD_ONLY]
    first = {name: argument for name, argument in own.items() if name not in last}
    return {
        **first,
        **{name: argument for name, argument in wrapped.items() if name not in own},
        **{name: own[name] for name in last},
    }


def _joined(own: Mapping[str, Argument], inherited: Signature) -> Signature:
    """Return the signature of a constructor whose `**kwargs` are those of its superclass."""
    more = {name: argument for name, argument in inherited.arguments.items() if name not in own}
    return dataclasses.replace(inherited, arguments={**own, **more})


def _reached_by_kwargs(bases: list[type]) -> frozenset[str] | None:
    """Return the parameters of superclasses that know nothing of configs; None without any."""
    names: set[str] = set()
    for base in bases:
        own, has_kwargs = _read(vars(base)["__init__"], base, {}, skip_first=True)
        names |= set(own)
        if not has_kwargs:
            break
    return frozenset(names) if bases else None


def _read(
    function: Callable[..., Any],
    owner: type | None,
    descriptions: Mapping[str, str],
    skip_first: bool,
) -> tuple[dict[str, Argument], bool]:
    """Return the parameters of a constructor, and whether it has `**kwargs`."""
    # A decorated constructor has the parameters of what it wraps
    function = inspect.unwrap(function)
    parameters = list(inspect.signature(function).parameters.values())
    if skip_first:
        parameters = parameters[1:]
    has_kwargs = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    named = (
        p
        for p in parameters
        if p.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    )
    return {
        p.name: Argument(
            p.name,
            _annotation(p, function, owner),
            _default(p, owner),
            descriptions.get(p.name, ""),
        )
        for p in named
    }, has_kwargs


def _default(parameter: inspect.Parameter, owner: type | None) -> Any:
    """Return the default; of a dataclass field with a factory, what the factory makes."""
    field = getattr(owner, "__dataclass_fields__", {}).get(parameter.name)
    factory = getattr(field, "default_factory", dataclasses.MISSING)
    if parameter.default is REQUIRED or factory is dataclasses.MISSING:
        return parameter.default
    return factory()


def _annotation(
    parameter: inspect.Parameter, function: Callable[..., Any], owner: type | None
) -> Any:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return Any
    resolved = _resolve(annotation, _namespaces(parameter.name, function, owner))
    if parameter.default is not None or resolved is Any or isinstance(resolved, Unresolved):
        return resolved
    try:
        return Optional[resolved]  # noqa: UP045  `dropout: float = None`, as AllenNLP writes it
    except TypeError as error:
        return Unresolved(repr(annotation), str(error))


def _namespaces(
    name: str, function: Callable[..., Any], owner: type | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the names that an annotation may use: of its module, and of its class."""
    # A dataclass inherits fields, not a constructor: their names are those of the base's module
    for base in owner.__mro__ if owner else ():
        if "__dataclass_fields__" in vars(owner) and name in vars(base).get("__annotations__", {}):
            return _module_names(base.__module__), vars(base)
    unwrapped = getattr(function, "__func__", function)
    module = getattr(unwrapped, "__globals__", None)
    return module or _module_names(function.__module__), vars(owner) if owner else {}


def _module_names(name: str) -> Mapping[str, Any]:
    return vars(sys.modules[name]) if name in sys.modules else {}


def _resolve(annotation: Any, namespaces: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Any:
    """Turn an annotation, which PEP 563 makes a string, into a type.

    One that names what exists for type checkers only (imported under TYPE_CHECKING) cannot be
    resolved; such parameters are given by the program, never read from a config.
    """
    if isinstance(annotation, dataclasses.InitVar):
        annotation = annotation.type
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    module, of_class = namespaces
    reason = ""
    for names in (module, {**module, **of_class}):  # a method called `list` must not hide list
        try:
            resolved = _hashable(holder, dict(names))
        except Exception as error:  # whatever evaluating a line of the user's code can raise
            reason = reason or f"{type(error).__name__}: {error}"
        else:
            return resolved.type if isinstance(resolved, dataclasses.InitVar) else resolved
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return Unresolved(text, reason)


def _hashable(holder: object, names: dict[str, Any]) -> Any:
    """Return the annotation of `holder`, without what `Annotated` adds if that cannot be hashed."""
    # The extras of other tools may be lists or dicts, and specs are cached by their annotation
    for include_extras in (True, False):
        resolved = typing.get_type_hints(holder, names, include_extras=include_extras)["it"]
        with suppress(TypeError):
            hash(resolved)
            return resolved
    hash(resolved)
    return resolved


def summary(target: object) -> str:
    """Return the first paragraph of the docstring on one line."""
    text = inspect.getdoc(target) or ""
    return " ".join(text.split("\n\n")[0].split())


def argument_descriptions(target: object) -> dict[str, str]:
    """Return the description of each parameter in the `Args:` section, on one line each."""
    descriptions: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in _args_section(inspect.getdoc(target) or ""):
        match = _ARGUMENT.match(line)
        if match:
            current = descriptions.setdefault(match.group(1).lstrip("*"), [])
            current.append(match.group(2))
        elif current is not None:
            current.append(line.strip())
    return {name: " ".join(part for part in lines if part) for name, lines in descriptions.items()}


def _args_section(text: str) -> list[str]:
    """Return the lines of the section, less its indentation; continuations keep theirs."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.strip() in ("Args:", "Arguments:", "Parameters:"):
            break
    body: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        body.append(line)
    return inspect.cleandoc("\n" + "\n".join(body)).splitlines()
