"""`Pipeline` with the arguments of the Alectio SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from overrides import overrides

from allencv_al.service.pipeline.pipeline import Pipeline
from allencv_al.service.web.access import LEAST_TOKEN_CHARACTERS, is_placeholder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options of the command line for the pipelines of a script.

    Args:
        host: Address to listen on; None for the script's value.
        port: Port; None for the script's value.
        key_policy: See `Pipeline`.
    """

    host: str | None = None
    port: int | None = None
    key_policy: str = "auto"


class LegacyPipeline(Pipeline):
    """A `Pipeline` that accepts the arguments of all generations of the SDK.

    Args:
        name: Name of the pipeline.
        train_fn: See `Pipeline`.
        test_fn: See `Pipeline`.
        infer_fn: See `Pipeline`.
        getstate_fn: See `Pipeline`.
        args: See `Pipeline`.
        token: Experiment token of the platform; requests need it unless it is too short for a
            secret or a placeholder of the examples.
        multiple_initialisations: Seeds that the platform compared; ignored with a warning.
    """

    made: ClassVar[list[LegacyPipeline]] = []
    """Pipelines of this process, in the order of their creation."""

    options: ClassVar[Options] = Options()
    """Options of the command line."""

    def __init__(
        self,
        name: str,
        train_fn: Callable[..., Any],
        test_fn: Callable[..., Any],
        infer_fn: Callable[..., Any],
        getstate_fn: Callable[..., Any] | None = None,
        args: dict[str, Any] | None = None,
        token: str | None = None,
        multiple_initialisations: Mapping[str, Any] | None = None,
    ) -> None:
        secret = token or None
        if token and (is_placeholder(token) or len(token) < LEAST_TOKEN_CHARACTERS):
            kind = "a placeholder" if is_placeholder(token) else "too short for a secret"
            logger.warning(
                "the token in the script is %s, and not used: only this machine may send requests",
                kind,
            )
            secret = None
        if multiple_initialisations and multiple_initialisations.get("seeds"):
            logger.warning("multiple_initialisations: seeds are not compared; only one run is made")
        super().__init__(
            *(str(name), train_fn, test_fn, infer_fn, getstate_fn, args, secret),
            key_policy=self.options.key_policy,
        )
        self.was_served = False
        self.made.append(self)

    @overrides
    def __call__(self, debug: bool | None = None, host: str = "127.0.0.1", port: int = 5000) -> int:
        self.was_served = True
        options = self.options
        return super().__call__(
            debug, options.host or host, port if options.port is None else options.port
        )

    def _one_loop(
        self, payload: Mapping[str, Any], args: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run one loop in this process, as scripts do to try their functions.

        Args:
            payload: Body of `/one_loop`; `selected_indices` may be in the storage instead.
            args: Settings that update the pipeline's `args`.

        Returns:
            Answer of `/one_loop`.
        """
        if args is not None and args is not self.args:
            self.args.update(args)
        own = self._make_app("127.0.0.1", 0, open_to_this_process=True)
        response = own.test_client().post("/one_loop", json=dict(payload))
        answer: dict[str, Any] = response.get_json()
        return answer
