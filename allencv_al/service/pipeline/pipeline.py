"""`Pipeline`: a user's train, test and infer functions as an HTTP service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline.config_file import complete, load_config
from allencv_al.service.pipeline.functions.infer_keys import POLICIES
from allencv_al.service.pipeline.functions.user_functions import Functions
from allencv_al.service.pipeline.pipeline_errors import body_of
from allencv_al.service.pipeline.pipeline_loop import LoopOptions
from allencv_al.service.pipeline.pipeline_messages import PipelineErrorAnswer
from allencv_al.service.pipeline.pipeline_routes import PipelineRoutes
from allencv_al.service.pipeline.state.storage import Storage
from allencv_al.service.web.access import Access, Identity, OpenAccess, TokenAccess
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.token_file import FileAccess, TokenFile
from allencv_al.service.web.web_settings import WebSettings

if TYPE_CHECKING:
    from allencv_al.service.web.running import ServerThread

STATE_NAME = "pipeline-state"
STORAGE_NAME = "storage"
MAX_BODY_BYTES = 256 * 2**20


class Pipeline:
    """Serves a user's train, test and infer functions to a loop, over HTTP.

    ::

        pipeline = Pipeline("flowers", train, test, infer, getdatasetstate, args=config)
        app = pipeline.app        # gunicorn --bind 0.0.0.0:5000 --timeout 2500000 main:app
        pipeline(port=5000)       # or in this process

    Args:
        name: Its name, in messages and in `/v1/info`.
        train_fn: Trains on the records `labeled` and writes the checkpoint `ckpt_file`.
        test_fn: Returns `{"predictions": ..., "labels": ...}`.
        infer_fn: Returns `{"outputs": ...}`, one output for each record of `unlabeled`.
        getstate_fn: Returns the records by index.
        args: Settings passed to every function, or a YAML, JSON or jsonnet file with them.
            `EXPT_DIR` (default `./log`) and `LOG_DIR` are created.
        token: Secret that each request must carry; without one, only this machine can send
            requests.
        calling: Form of the calls of functions: auto, payload, kwargs or args.
        key_policy: Matching of outputs of infer to records: auto or positional.
        token_file: File of scoped tokens made by `allencv-al token`, instead of `token`.
        storage_url: Storage for the results of loops: a folder or an fsspec URL such as
            `s3://bucket/prefix` (default: in EXPT_DIR).
        storage_options: Options for fsspec, such as `endpoint_url`.
        class_labels: Class names by class number.
        callback_url: `URL/end_of_task` receives a POST after each finished loop.
        allowed_hosts: Host names that requests may use, besides IP addresses.
        allowed_origins: Origins of other sites whose pages may send requests (CORS), such as
            `https://photos.example`.
        write_pickles: Whether to write each result as a pickle too, for programs that read
            pickles; this package never does.
        keep_checkpoints: Whether to copy checkpoints to the storage and fetch from there those
            that another machine trained.
        max_body_bytes: Largest request body in bytes.
        debug: Whether error answers include the traceback of the function.

    Raises:
        ConfigurationError: A function cannot be called, or an option is wrong.
    """

    def __init__(
        self,
        name: str,
        train_fn: Callable[..., Any],
        test_fn: Callable[..., Any],
        infer_fn: Callable[..., Any],
        getstate_fn: Callable[..., Any] | None = None,
        args: dict[str, Any] | str | Path | None = None,
        token: str | None = None,
        *,
        calling: str = "auto",
        key_policy: str = "auto",
        token_file: str | Path | None = None,
        storage_url: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        class_labels: Mapping[int, str] | None = None,
        callback_url: str | None = None,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        write_pickles: bool = False,
        keep_checkpoints: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
        debug: bool = False,
    ) -> None:
        if key_policy not in POLICIES:
            expected = " or ".join(POLICIES)
            raise ConfigurationError(f"key_policy: expected {expected}, found {key_policy!r}")
        if callback_url is not None and not callback_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"callback_url: expected http:// or https://, found {callback_url!r:.200}"
            )
        self.name = name
        values = load_config(args) if isinstance(args, str | Path) else args
        self.args = complete({} if values is None else values)
        if token is not None and token_file is not None:
            raise ConfigurationError("token: expected token or token_file, found both")
        self._access = _access(token, token_file)
        self._allowed_hosts = tuple(allowed_hosts)
        self._allowed_origins = tuple(allowed_origins)
        self._max_body_bytes = max_body_bytes
        self._debug = debug
        folder = Path(str(self.args["EXPT_DIR"])).absolute()
        functions = Functions(
            *(train_fn, test_fn, infer_fn, getstate_fn, self.args, calling, key_policy)
        )
        storage = Storage(storage_url or str(folder / STORAGE_NAME), storage_options)
        self._routes = PipelineRoutes(
            name,
            functions,
            storage,
            folder / STATE_NAME,
            dict(class_labels) if class_labels else None,
            callback_url,
            token,
            LoopOptions(write_pickles, keep_checkpoints),
        )
        self.app = self._make_app("127.0.0.1", 5000)

    def __call__(self, debug: bool | None = None, host: str = "127.0.0.1", port: int = 5000) -> int:
        """Serve until interrupted.

        Args:
            debug: Whether error answers include the traceback of the function.
            host: The address to listen on; any other than loopback needs a token.
            port: The port; 0 takes a free one.

        Returns:
            130 after SIGINT, 143 after SIGTERM.

        Raises:
            ConfigurationError: The address cannot be listened on, or needs a token.
        """
        from allencv_al.service.web.running import serve

        if debug is not None:
            self._debug = debug
        app = self._make_app(host, port)
        return serve(app, lambda url: _announce(self.name, url))

    def start(self, host: str = "127.0.0.1", port: int = 0) -> ServerThread:
        """Serve in a thread; return its handle with `url` and `close()`.

        Args:
            host: The address to listen on; any other than loopback needs a token.
            port: The port; 0 takes a free one.

        Raises:
            ConfigurationError: The address cannot be listened on, or needs a token.
        """
        from allencv_al.service.web.running import start_in_thread

        return start_in_thread(self._make_app(host, port))

    def work(self, url: str, token: str | None = None, patience_seconds: float = 86_400.0) -> int:
        """Work for a loop that cannot connect to this machine, until the loop has finished.

        This process polls the loop for requests and posts the answers, so it needs no open port.
        The loop's config has `learner: {type: "pipeline", listen_port: 5010}`.

        Args:
            url: Address of the loop: `http://HOST:PORT`.
            token: Token of the loop, if it needs one.
            patience_seconds: Maximum time that the loop may be unreachable; it may pause until
                images are labeled.

        Returns:
            0 when the loop has finished, 2 when it stays unreachable or refuses, 130 when
            interrupted.
        """
        from allencv_al.service.pipeline.worker import work

        own = self._make_app("127.0.0.1", 0, open_to_this_process=True)
        return work(own, self.name, url, token, patience_seconds)

    def _make_app(self, host: str, port: int, open_to_this_process: bool = False) -> WebApp:
        settings = WebSettings(
            host=host,
            port=port,
            access=OpenAccess() if open_to_this_process else self._access,
            allowed_hosts=self._allowed_hosts,
            allowed_origins=self._allowed_origins,
            max_body_bytes=self._max_body_bytes,
        )
        app = WebApp(
            "pipeline",
            settings,
            self.name,
            lambda problem: body_of(problem, self._debug),
            PipelineErrorAnswer,
        )
        self._routes.add_to(app)
        return app


def _access(token: str | None, token_file: str | Path | None) -> Access:
    if token_file is not None:
        # Absolute, since a function may change the current folder
        return FileAccess(TokenFile(Path(token_file).absolute()))
    return OpenAccess() if token is None else TokenAccess({token: Identity("")})


def _announce(name: str, url: str) -> None:
    sys.stderr.write(f"serving the pipeline {name!r} at {url} (Ctrl-C stops it)\n")
