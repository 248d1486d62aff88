"""`FromParams`: build an object from parameters; its constructor's signature is the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.json_values import plain
from allencv_al.common.params import Params

if TYPE_CHECKING:
    from allencv_al.common.config_check import ConfigView


class FromParams:
    """The base of every class that a config can describe."""

    injected: ClassVar[tuple[str, ...]] = ()
    """Constructor parameters that the program gives, so that a config need not."""

    default_implementation: ClassVar[str | None] = None
    """The registered name that an object without `type` means."""

    @classmethod
    def from_params(
        cls, params: Params | Mapping[str, Any] | str | None = None, **extras: Any
    ) -> Self:
        """Build an object.

        Args:
            params: The parameters: for a registered family, `type` and the arguments of that
                class. A string is short for `{"type": string}`. None: no parameters.
            **extras: Values that the program gives (`vocab=vocab`). They reach every part below
                whose constructor names them; a value in `params` wins.

        Raises:
            ConfigurationFaults: Everything that is wrong, each with its path; nothing was built.
        """
        from allencv_al.common.object_specs import ObjectSpec
        from allencv_al.common.type_specs import Scope

        path = params.history if isinstance(params, Params) else ""
        value: Any = {} if params is None else params
        if not isinstance(value, (Mapping, str)):
            raise ConfigurationError(
                f"{cls.__name__}.from_params: expected Params, a mapping or a name, "
                f"found {type(value).__name__}"
            )
        value = plain(value)
        # A from_params of the class's own may end in super().from_params(...), which is this.
        spec, scope = ObjectSpec(cls, by_constructor=True), Scope(extras=extras)
        faults = list(spec.faults(value, path, scope))
        if faults:
            raise ConfigurationFaults(faults, f"the parameters of {cls.__name__}")
        built: Self = spec.build(value, path, scope)
        return built

    @classmethod
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        """Yield what types cannot say is wrong; called before anything is built.

        Args:
            config: The arguments in the config, with which of them are already known to be wrong.
        """
        return iter(())

    @classmethod
    def has_registry(cls) -> bool:
        """Say whether `type` chooses among implementations of this class."""
        return False

    @classmethod
    def registry_name(cls) -> str:
        """Return what this kind of object is called in messages."""
        return cls.__name__

    @classmethod
    def resolve(cls, name: str) -> tuple[type[FromParams], str | None]:
        """Return the class behind a registered name, and the classmethod that builds it."""
        raise ConfigurationError(f"{cls.__name__} has no registered implementations")

    @classmethod
    def list_available(cls) -> list[str]:
        """Return the registered names, the default first."""
        return []
