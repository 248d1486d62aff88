"""`allencv-al label`: serve a labeling page for a folder of images or a waiting run."""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from allencv_al.commands.shared import arguments, server_arguments
from allencv_al.commands.shared.label_order import fill
from allencv_al.common.errors import ArchiveError, ConfigurationError, DataError
from allencv_al.common.files.paths import absent

if TYPE_CHECKING:
    from allencv_al.data.instance import Instance
    from allencv_al.labels.sessions.labeling_store import LabelingStore
    from allencv_al.service.web.access import Access


_TOKENS_NAME = "tokens"
_MOST_NAMED = 3
_IN_TABLES = ("choices", "tags", "boxes")  # labels that the reader manifest reads in labels.csv

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "source",
        metavar="RUN_OR_FOLDER",
        help="run directory of active-learn; or images: a folder, a table or a list, as for select",
    )
    parser.add_argument(
        "--classes",
        type=_names,
        default=[],
        metavar="A,B",
        help="the first classes (default: those of --archive); annotators can add others on the "
        "page",
    )
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="kind of the labels: multi_label for several classes per image, detection for boxes, "
        "segmentation for masks that --archive predicts (default: one class per image, or that "
        "of the labeling)",
    )
    parser.add_argument(
        "-s",
        "--labeling-dir",
        type=Path,
        metavar="DIR",
        help="labeling folder, for the labels (default: FOLDER-labels next to FOLDER)",
    )
    parser.add_argument(
        "--labels-per-image",
        type=arguments.positive_int,
        metavar="N",
        help="number of annotators per image (default: 1, or that of the labeling)",
    )
    parser.add_argument(
        "--audit",
        type=arguments.positive_int,
        metavar="N",
        help="ask for N random images first, without predictions; their labels measure models, and "
        "train leaves them out (default: none, or those of the labeling)",
    )
    parser.add_argument(
        "--findings",
        type=Path,
        metavar="TABLE",
        help="fix what audit RUN_OR_FOLDER --output TABLE found: ask for its images, in its order, "
        "with their labels; the answers go into DIR/corrected.csv (default DIR: FOLDER-fixes)",
    )
    parser.add_argument(
        "--map",
        choices=("tsne", "umap"),
        help="compute this layout of the page's map before serving, besides pca: tsne, or umap "
        "(extra [map]), which is quicker for many images; needs --embeddings or an --archive with "
        "a frozen encoder",
    )
    _add_order(parser.add_argument_group("order"))
    _add_server(parser.add_argument_group("server"))


def _add_server(group: argparse._ArgumentGroup) -> None:
    server_arguments.add_server(group, port=8010)
    group.add_argument(
        "--annotator",
        action="append",
        default=[],
        metavar="NAME",
        help="create a token for this annotator, whose labels carry the name; may be given "
        "several times",
    )


def _add_order(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--strategy",
        metavar="NAME|JSON",
        help="order images by this query strategy (default: random order)",
    )
    group.add_argument(
        "--archive", type=Path, metavar="ARCHIVE", help="the trained model for the strategy"
    )
    group.add_argument(
        "--embeddings",
        metavar="MODEL[:WEIGHTS]",
        help="instead of --archive: offline, timm:NAME, open_clip:NAME:WEIGHTS, a torchvision "
        "name, or a file of vectors, as for select",
    )
    group.add_argument(
        "--by-class",
        action="store_true",
        help="show one class that --archive predicts after the other, the surest images first",
    )
    group.add_argument(
        "-k",
        "--query-size",
        type=arguments.positive_int,
        metavar="N",
        help="label only the first N images (default: all); with another order, N more",
    )
    group.add_argument("--seed", type=int, metavar="N", help="random seed (default: 0)")
    arguments.add_cuda_device(group)
    arguments.add_embedding_cache(group)
    group.set_defaults(weights_file=None, image_size=None)


def run(args: argparse.Namespace) -> int:
    """Serve the page until interrupted; labels are stored at once."""
    return _serve_findings(args) if args.findings is not None else _serve_images(args)


def _serve_findings(args: argparse.Namespace) -> int:
    """Serve the images of a table of findings; the answers go into a table of all images."""
    from allencv_al.commands.shared.finding_queue import (
        CORRECTED_NAME,
        fill_with_findings,
        write_corrected,
    )
    from allencv_al.data_audit.audited_images import read_audited
    from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

    _check_options(args)
    _check_finding_options(args)
    images = read_audited(args.source)
    folder = args.labeling_dir or _beside(args.source, "fixes")
    table = folder / CORRECTED_NAME
    with LabelingStore(folder / LABELING_NAME) as store:
        _check_is_alone(store, Path(args.source))
        fill_with_findings(store, images, args.findings)
        try:
            return _serve(
                args, store, folder, table, lambda path: write_corrected(store, images, path)
            )
        finally:
            changed = write_corrected(store, images, table)
            sys.stderr.write(
                f"{changed} images are changed in {table}; the dataset reader manifest reads it\n"
            )


def _check_finding_options(args: argparse.Namespace) -> None:
    wrong = [name for name, is_given in _given(args).items() if is_given]
    if wrong:
        raise ConfigurationError(
            f"label: --findings asks for the images of the table, in its order; expected no "
            f"{', '.join(wrong)}"
        )


def _serve_images(args: argparse.Namespace) -> int:
    from allencv_al.common.files.tables import LABELS_NAME
    from allencv_al.labels.run_database import DATABASE_NAME
    from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

    _check_options(args)
    source = Path(args.source)
    is_run = (source / DATABASE_NAME).is_file()
    if is_run:
        _check_run_options(args, source)
    # A run keeps its labeling in its own folder; a folder of images is never written to
    folder = source if is_run else _labeling_folder(args, source)
    pool = [] if is_run else _pool(args.source)  # validate before anything is written
    with LabelingStore(folder / LABELING_NAME) as store:
        _check_is_alone(store, source)
        if not is_run:
            if args.task is not None:
                store.values.set_task(args.task)
            fill(store, args, pool)
            _compute_map(store, args.map)
        return _serve(args, store, folder, None if is_run else folder / LABELS_NAME)


def _compute_map(store: LabelingStore, layout: Literal["tsne", "umap"] | None) -> None:
    """Compute a layout of the map and keep it, unless it is kept already."""
    if layout is None:
        return
    from allencv_al.selection.page_groups import PageGroups
    from allencv_al.selection.pool_map import PoolMap

    logger.info("map: %s of %d images", layout, len(store.vectors.load()))
    if not PoolMap(store, PageGroups(store)).compute(layout):
        raise ConfigurationError(
            f"label: --map {layout} needs vectors of the images; give --embeddings offline, or an "
            "--archive whose encoder is frozen"
        )


def _check_options(args: argparse.Namespace) -> None:
    from allencv_al.labels.sessions.label_values import check_editable

    if args.task is not None:
        check_editable(args.task)
    if args.annotator and (args.token is not None or args.token_file is not None):
        raise ConfigurationError(
            "label: --annotator creates tokens; expected no --token or --token-file"
        )
    if args.archive is not None and args.embeddings is not None:
        raise ConfigurationError("label: expected --archive or --embeddings, found both")
    if args.by_class and args.archive is None:
        raise ConfigurationError("label: --by-class needs the predictions of an --archive")
    if args.map is not None:
        from allencv_al.selection.projections import check_layout

        check_layout(args.map)
    if args.strategy is None and (args.archive is not None or args.embeddings is not None):
        args.strategy = "margin" if args.archive is not None else "typiclust"
    if args.archive is not None and not args.archive.exists():
        raise ArchiveError(absent(args.archive, "archive"))


def _given(args: argparse.Namespace) -> dict[str, bool]:
    """Return which options about the images and their order are given."""
    return {
        "--classes": bool(args.classes),
        "--task": args.task is not None,
        "--labels-per-image": args.labels_per_image is not None,
        "--audit": args.audit is not None,
        "--map": args.map is not None,
        "--strategy": args.strategy is not None,
        "--by-class": args.by_class,
        "--query-size": args.query_size is not None,
        "--seed": args.seed is not None,
    }


def _check_run_options(args: argparse.Namespace, source: Path) -> None:
    given = {**_given(args), "--labeling-dir": args.labeling_dir is not None}
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise ConfigurationError(
            f"label: {source} is a run, whose config sets the images and classes; expected no "
            f"{', '.join(wrong)}, which are for a folder of images"
        )


def _labeling_folder(args: argparse.Namespace, source: Path) -> Path:
    if args.labeling_dir is not None:
        folder: Path = args.labeling_dir
        return folder
    return _beside(args.source, "labels")


def _beside(text: str, name: str) -> Path:
    source = Path(text)
    if not source.exists():
        raise DataError(absent(text, "folder"))
    of = source.resolve()
    return of.with_name(f"{of.name if of.is_dir() else of.stem}-{name}")


def _check_is_alone(store: LabelingStore, source: Path) -> None:
    url = store.server()
    if url is not None:
        raise DataError(f"{source}: another server is running at {url}; open that page")


def _pool(text: str) -> list[Instance]:
    from allencv_al.labels.database import is_encodable
    from allencv_al.selection.select_inputs import read_pool

    pool = [item for item in read_pool(text) if not item.is_labeled]
    # The database and the addresses of the page hold Unicode text only
    named = [item for item in pool if is_encodable(str(item.image))]
    if len(named) < len(pool):
        left = [item.id for item in pool if not is_encodable(str(item.image))]
        logger.warning(
            "%d images have names that are no text, and are left out (%s)",
            len(left),
            ", ".join(left[:_MOST_NAMED]),
        )
    if not named:
        raise DataError(f"{text}: there is no image without a label to ask for")
    return named


def _serve(
    args: argparse.Namespace,
    store: LabelingStore,
    folder: Path,
    table: Path | None,
    write: Callable[[Path], object] | None = None,
) -> int:
    from allencv_al.service.labeling.app import create_app
    from allencv_al.service.labeling.keeper import Keeper
    from allencv_al.service.web.running import serve

    tokens = {name: folder / _TOKENS_NAME / name for name in args.annotator}
    settings = server_arguments.settings(args, _access(args, tokens))
    app = create_app(folder, title=Path(args.source).resolve().name, settings=settings)
    keepers: list[Keeper] = []  # one, once the port is known: its URL goes into the store

    def announce(url: str) -> None:
        keepers.append(Keeper(store, url, table, write))
        sys.stderr.write(f"labeling {args.source} at {url} (Ctrl-C ends it)\n")
        for name, file in tokens.items():
            token = server_arguments.token_in(file)
            sys.stderr.write(f"  {name}: {url}login#{token}\n")

    try:
        return serve(app, announce)
    finally:
        for keeper in keepers:
            keeper.close()
        _print_progress(store, None if write else table, Path(args.source))


def _access(args: argparse.Namespace, tokens: dict[str, Path]) -> Access:
    from allencv_al.service.web.access import Identity, TokenAccess, load_or_make_token

    if not tokens:
        return server_arguments.shared_access(args)
    for name in tokens:
        # The name is that of a token file: it must not leave the folder or hide the file
        if not name.strip() or name.startswith(".") or "/" in name or "\\" in name:
            raise ConfigurationError(f"--annotator: expected a name, found {name!r}")
    return TokenAccess(
        {load_or_make_token(file)[0]: Identity(name) for name, file in tokens.items()}
    )


def _print_progress(store: LabelingStore, table: Path | None, source: Path) -> None:
    batch = store.items.batch()
    if batch is None:
        return
    progress = store.counts.progress(batch.batch, "")
    labeled = progress.done - progress.unsure - progress.unreadable
    parts = [f"{labeled} of {progress.total} images are labeled"]
    parts += [f"{progress.unsure} not sure"] if progress.unsure else []
    parts += [f"{progress.unreadable} unreadable"] if progress.unreadable else []
    sys.stderr.write(f"{', '.join(parts)}\n")
    _print_conflicting_copies(store, batch.batch)
    if store.values.widget not in _IN_TABLES and table is not None:
        folder = shlex.quote(str(table.parent))
        sys.stderr.write(f"labels: allencv-al export-labels {folder} writes them for training\n")
    elif table is not None and table.is_file():
        near = table.relative_to(here) if table.is_relative_to(here := Path.cwd()) else table
        keys: dict[str, str | None] = {
            "dataset_reader.type": "manifest",
            "train_data_path": str(near),
        }
        if store.audit.ids():  # measures the model, so that validation images need not exist
            keys["validation_data_path"] = None
        if source.is_dir():
            keys["pool_data_path"] = str(source)
        sys.stderr.write(
            f"labels: {near}; to train on them: allencv-al train CONFIG -s RUN "
            f"-o {shlex.quote(json.dumps(keys, ensure_ascii=False))}\n"
        )


def _print_conflicting_copies(store: LabelingStore, batch: int) -> None:
    from allencv_al.labels.audit_sample import copies_of

    shown = str if store.values.task is None else store.values.task.shown
    labels = {
        final.id: shown(final.label)
        for final in store.agreed_labels(batch)
        if final.label is not None
    }
    items = [item for item in store.items.items(batch) if item.id in labels]
    files = {item.id: image for item in items if isinstance(image := store.items.image(item), Path)}
    differing = [
        f"{id} is {labels[id]}, {original} is {labels[original]}"
        for id, original in copies_of(files).items()
        if labels[id] != labels[original]
    ]
    if differing:
        named = "; ".join(differing[:_MOST_NAMED])
        sys.stderr.write(f"byte-equal images with different labels: {len(differing)} ({named})\n")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f'expected names separated by commas, found "{text}"')
    return names


_EPILOG = """\
Labels are stored at once in DIR/labeling.sqlite, and written to DIR/labels.csv for the dataset
reader "manifest". The same command resumes the labeling; images added to the folder since then come
last. A larger -k adds images up to N; a larger --audit without -k adds images to the audit alone.
With another strategy, model or seed, the images without an answer are reordered, and with -k the
first N of them come next; none is removed.

Number keys choose a class, z undoes the last answer, ? shows all keys. Several annotators may label
at once; no two get the same image, unless --labels-per-image is set.

A run of active-learn with annotator: "labeling_server" has a page of its own while it waits. label
RUN serves the same page without the loop, which uses the answers when it is resumed.
"""
