"""`Pipeline` as code for the Alectio SDK makes it."""

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
    """Options of the command line for pipelines whose code is not to be changed.

    Args:
        host: Where they listen; None for what the code says.
        port: Their port; None for what the code says.
        key_policy: See `Pipeline`.
    """

    host: str | None = None
    port: int | None = None
    key_policy: str = "auto"


class LegacyPipeline(Pipeline):
    """A `Pipeline` that takes the arguments of all generations of the SDK.

    Args:
        name: Its name.
        train_fn: See `Pipeline`.
        test_fn: See `Pipeline`.
        infer_fn: See `Pipeline`.
        getstate_fn: See `Pipeline`.
        args: See `Pipeline`.
        token: The experiment token of the platform; requests need it if it is long enough to be a
            secret and not one of the placeholders of examples.
        multiple_initialisations: Seeds that the platform would have compared; not done here.
    """

    made: ClassVar[list[LegacyPipeline]] = []
    """All that were made in this process, in their order."""

    options: ClassVar[Options] = Options()
    """The options of the command line."""

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
            what = "a placeholder" if is_placeholder(token) else "too short for a secret"
            logger.warning(
                "the token in the script is %s, and not used: only this machine may send requests",
                what,
            )
            secret = None
        if multiple_initialisations and multiple_initialisations.get("seeds"):
            logger.warning("multiple_initialisations: seeds are not compared; the first run counts")
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
            payload: The body of `/one_loop`; `selected_indices` may lie in the storage instead.
            args: What functions get; the pipeline's own `args` take its values over.

        Returns:
            The answer of `/one_loop`.
        """
        if args is not None and args is not self.args:
            self.args.update(args)
        own = self._make_app("127.0.0.1", 0, open_to_this_process=True)
        response = own.test_client().post("/one_loop", json=dict(payload))
        answer: dict[str, Any] = response.get_json()
        return answer
