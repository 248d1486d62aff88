"""`allencv-al cache`: list or clear the embeddings that all commands share."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.selection.pool.embedding_store import EmbeddingStore

_MEGABYTE = 10**6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "action",
        choices=("list", "clear"),
        help="list: a line for each encoder; clear: remove all embeddings",
    )
    parser.add_argument(
        "--embedding-cache",
        metavar="DIR",
        help="the folder (default: ALLENCV_AL_EMBEDDING_CACHE, else in the user's cache folder)",
    )


def run(args: argparse.Namespace) -> int:
    """List or clear the store."""
    from allencv_al.selection.pool.embedding_store import store_at

    store = store_at(args.embedding_cache)
    if store is None:
        raise ConfigurationError("cache: embeddings are off; --embedding-cache DIR names a folder")
    if args.action == "clear":
        freed = store.clear()
        sys.stdout.write(f"{store.folder}: removed {freed / _MEGABYTE:.1f} MB\n")
    else:
        sys.stdout.write(listing(store))
    return 0


def listing(store: EmbeddingStore) -> str:
    """Return what the store holds, one line for each encoder, the last used one first."""
    encoders = store.encoders()
    size = sum(encoder.size for encoder in encoders)
    lines = [f"{store.folder}: {size / _MEGABYTE:.1f} MB of {store.limit / _MEGABYTE:.0f} MB"]
    for encoder in encoders:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(encoder.last_used))
        sides = encoder.about.get("image_size") or []
        side = " x ".join("any" if part is None else str(part) for part in sides)
        lines.append(
            f"{encoder.key[:12]}  {encoder.rows:>9} images  {encoder.size / _MEGABYTE:>9.1f} MB  "
            f"used {used}  {encoder.about.get('precision', '')}  {side}  "
            f"{encoder.about.get('model', '')}"
        )
    return "\n".join(line.rstrip() for line in lines) + "\n"


_EPILOG = """\
select, label, active-learn, compare, train and evaluate keep the embeddings of images there, by
network, transforms, number format and content of the image: what one of them has encoded no other
encodes again. ALLENCV_AL_EMBEDDING_CACHE names another folder, or is "off";
ALLENCV_AL_EMBEDDING_CACHE_GB is the limit of its size (default: 10), above which what was not used
for the longest time is removed.
"""
