"""`Pipeline`: train, test and infer functions of a user's own, behind HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline.functions.config_file import complete, load_config
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
    """A pipeline of one's own, which a loop drives over HTTP.

    ::

        pipeline = Pipeline("flowers", train, test, infer, getdatasetstate, args=config)
        app = pipeline.app        # gunicorn --bind 0.0.0.0:5000 --timeout 2500000 main:app
        pipeline(port=5000)       # or in this process

    Args:
        name: What it is called.
        train_fn: Trains on the records `labeled` and writes the checkpoint `ckpt_file`.
        test_fn: Returns `{"predictions": ..., "labels": ...}`.
        infer_fn: Returns `{"outputs": ...}`, one output for each record of `unlabeled`.
        getstate_fn: Returns what records there are, by index.
        args: What every function may read, or a file that says it, in YAML, JSON or jsonnet.
            `EXPT_DIR` (default `./log`) and `LOG_DIR` are made.
        token: The secret that requests need; without it only this machine may send them.
        calling: How functions are called: auto, payload, kwargs or args.
        key_policy: How outputs of infer find their records: auto or positional.
        token_file: A file of tokens that `allencv-al token` makes, each with what it allows, in
            place of the one token.
        storage_url: Where loops keep their results: a folder, or what fsspec knows, such as
            `s3://bucket/prefix`. By default in EXPT_DIR.
        storage_options: For fsspec, such as `endpoint_url`.
        class_labels: The names of the classes by their numbers.
        callback_url: Told of each finished loop: `URL/end_of_task`.
        allowed_hosts: Names by which the pipeline may be called, besides IP addresses.
        allowed_origins: Origins of other sites whose pages may send requests and read the answers,
            as a browser writes them, such as `https://photos.example`.
        write_pickles: Whether results have twins that are pickles, under the same names, for
            programs that read those; nothing here does.
        keep_checkpoints: Whether loops keep checkpoints in the storage, too, and fetch from there
            what another machine has trained.
        max_body_bytes: The longest request.
        debug: Whether errors of functions come with their traceback.

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
            debug: Whether errors of functions come with their traceback.
            host: The address to listen on; any but this machine needs a token.
            port: The port; 0 takes a free one.

        Returns:
            130 or 143.

        Raises:
            ConfigurationError: The address cannot be listened on, or needs a token.
        """
        from allencv_al.service.web.running import serve

        if debug is not None:
            self._debug = debug
        app = self._make_app(host, port)
        return serve(app, lambda url: _announce(self.name, url))

    def start(self, host: str = "127.0.0.1", port: int = 0) -> ServerThread:
        """Serve in a thread, until `close` of what is returned; its `url` says where.

        Args:
            host: The address to listen on; any but this machine needs a token.
            port: The port; 0 takes a free one.

        Raises:
            ConfigurationError: The address cannot be listened on, or needs a token.
        """
        from allencv_al.service.web.running import start_in_thread

        return start_in_thread(self._make_app(host, port))

    def work(self, url: str, token: str | None = None, patience_seconds: float = 86_400.0) -> int:
        """Work for a loop that cannot reach this machine, until it has finished.

        This process fetches tasks from the loop and posts the answers, so the loop need not connect
        to it. The config of the loop says `learner: {type: "pipeline", listen_port: 5010}`.

        Args:
            url: Where the loop listens: `http://HOST:PORT`.
            token: What the loop wants, if it wants one.
            patience_seconds: How long the loop may be away: it may wait for labels.

        Returns:
            0 when the loop has finished, 2 where it stays away or refuses, 130 when interrupted.
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
        return FileAccess(TokenFile(Path(token_file).absolute()))  # a function may change folder
    return OpenAccess() if token is None else TokenAccess({token: Identity("")})


def _announce(name: str, url: str) -> None:
    sys.stderr.write(f"the pipeline {name!r} is at {url} (Ctrl-C ends it)\n")
