"""Vectors of images as places in a plane, for the map of a labeling."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError

Layout: TypeAlias = Literal["pca", "tsne", "umap"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
"""The principal plane, which takes a moment, and two that keep neighbors together."""

_LEAST = 8  # vectors that have neighbors at all; fewer are put on the principal plane
_ROWS = 65_536  # at once in double precision, so that memory does not grow with the images
# Numbers of neighbors that the papers and both libraries begin with
_PERPLEXITY = 30.0
_NEIGHBORS = 15
_SPREAD = 1e-4  # of the first places of t-SNE, as scikit-learn scales them
_LEAST_PARALLEL = 2_000  # vectors; with fewer a step takes a millisecond or so
_NO_UMAP = 'umap needs the library umap-learn: pip install "allencv-al[map]"; tsne needs none'


def projected(vectors: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """Return the places of vectors in a plane, the same ones for the same vectors.

    Args:
        vectors: Of length 1, float32 `[N, D]`.
        layout: `pca` for the plane of largest variance; `tsne` (van der Maaten and Hinton 2008, by
            scikit-learn, beginning on that plane) or `umap` (McInnes et al. 2018, by umap-learn).

    Returns:
        float32 `[N, 2]`.

    Raises:
        ConfigurationError: The library of the layout is not installed.
    """
    plane = principal_plane(vectors)
    is_flat = not plane.any(axis=0).all()  # all on one line: there is nothing to unfold
    if layout == "pca" or len(vectors) < _LEAST or is_flat:
        return plane
    return _tsne(vectors, plane) if layout == "tsne" else _umap(vectors, plane)


def check_layout(layout: Layout) -> None:
    """Raise a ConfigurationError if the library of a layout is not installed."""
    if layout == "umap":
        _load_umap()


def principal_plane(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the coordinates of vectors on their two axes of largest variance.

    Exact, by the eigenvectors of the covariance: the vectors of a labeling are short, however many
    there are. The largest component of each axis is positive, so that the map is never mirrored.

    Args:
        vectors: float32 `[N, D]`.

    Returns:
        float32 `[N, 2]`; a missing second axis is 0.
    """
    plane = np.zeros((len(vectors), 2), np.float32)
    if not len(vectors):
        return plane
    mean = vectors.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((len(mean), len(mean)))
    for block in _blocks(vectors, mean):
        covariance += block.T @ block
    _, found = np.linalg.eigh(covariance)
    axes = found[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    blocks = [block @ axes for block in _blocks(vectors, mean)]
    plane[:, : axes.shape[1]] = np.concatenate(blocks)
    return plane


def _blocks(
    vectors: NDArray[np.float32], mean: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(vectors), _ROWS):
        yield vectors[start : start + _ROWS] - mean


def _tsne(vectors: NDArray[np.float32], plane: NDArray[np.float32]) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    spread = float(plane[:, 0].std()) or 1.0
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
        init=plane * (_SPREAD / spread),
        random_state=0,
    )
    # On a busy machine threads wait for each other in each of 1,000 steps: 60 images took 100 s
    threads = 1 if len(vectors) < _LEAST_PARALLEL else None
    with threadpool_limits(threads, "openmp"):
        places = tsne.fit_transform(vectors)
    return np.asarray(places, np.float32)


def _umap(vectors: NDArray[np.float32], plane: NDArray[np.float32]) -> NDArray[np.float32]:
    spread = float(np.abs(plane).max()) or 1.0
    reducer = _load_umap()(
        n_neighbors=min(_NEIGHBORS, len(vectors) - 1),
        init=plane * (10 / spread),  # umap-learn scales its own beginning so
        random_state=0,
        n_jobs=1,  # with a seed umap-learn uses one thread, and warns of more
    )
    return np.asarray(reducer.fit_transform(vectors), np.float32)


def _load_umap() -> type:
    try:
        with warnings.catch_warnings():
            # It warns that TensorFlow is absent, which only its parametric variant needs
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ImportError as error:
        raise ConfigurationError(_NO_UMAP) from error
    found: type = UMAP
    return found
