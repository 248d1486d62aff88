"""`Pipeline` as code for the Alectio SDK makes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from overrides import overrides

from allencv_al.service.pipeline.pipeline import Pipeline
from allencv_al.service.web.access import LEAST_TOKEN_CHARACTERS

logger = logging.getLogger(__name__)


class LegacyPipeline(Pipeline):
    """A `Pipeline` that takes the arguments of all generations of the SDK.

    Args:
        name: What it is called.
        train_fn: See `Pipeline`.
        test_fn: See `Pipeline`.
        infer_fn: See `Pipeline`.
        getstate_fn: See `Pipeline`.
        args: See `Pipeline`.
        token: The experiment token of the platform; whoever sends requests needs it, if it is long
            enough to be a secret.
        multiple_initialisations: Seeds that the platform would have compared; not done here.
    """

    made: ClassVar[list[LegacyPipeline]] = []
    """All that were made in this process, in their order."""

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
        if token and len(token) < LEAST_TOKEN_CHARACTERS:
            logger.warning("the token in the script is too short for a secret, and not used")
        secret = token if token and len(token) >= LEAST_TOKEN_CHARACTERS else None
        if multiple_initialisations and multiple_initialisations.get("seeds"):
            logger.warning("multiple_initialisations: seeds are not compared; the first run counts")
        super().__init__(str(name), train_fn, test_fn, infer_fn, getstate_fn, args, secret)
        self.was_served = False
        self.made.append(self)

    @overrides
    def __call__(self, debug: bool | None = None, host: str = "127.0.0.1", port: int = 5000) -> int:
        self.was_served = True
        return super().__call__(debug, host, port)

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
