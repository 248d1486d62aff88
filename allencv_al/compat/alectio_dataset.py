"""`AlectioDataset`: folders of images that the platform used to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from allencv_al.common.errors import ConfigurationError

PARTS = ("train", "test", "validation")


class AlectioDataset:
    """The images of an experiment, in `ROOT/train`, `ROOT/test` and `ROOT/validation`.

    Each has a folder per class. They must exist, since the platform that filled them is gone.

    Args:
        token: Experiment token of the platform; not used.
        root: Folder that contains them.
        framework: Only `pytorch` is supported.

    Raises:
        ConfigurationError: The framework is not supported.
    """

    def __init__(self, token: str | None, root: str | Path, framework: str = "pytorch") -> None:
        if framework != "pytorch":
            raise ConfigurationError(
                f"AlectioDataset: framework: expected pytorch, found {framework!r:.80}"
            )
        self.root = Path(root)
        self.framework = framework

    def get_dataset(
        self, dataset_type: str, transforms: Any = None, tf_args: Any = None
    ) -> tuple[Any, int, dict[str, int]]:
        """Return a torchvision dataset, its length, and the class numbers by class name.

        Args:
            dataset_type: train, test or validation.
            transforms: Transform of each image.
            tf_args: Options of another framework; not used.

        Raises:
            ConfigurationError: The folder has no images.
        """
        if dataset_type not in PARTS:
            expected = ", ".join(PARTS)
            raise ConfigurationError(
                f"AlectioDataset: dataset_type: expected one of {expected}, found "
                f"{dataset_type!r:.80}"
            )
        from torchvision.datasets import ImageFolder

        folder = self.root / dataset_type
        try:
            dataset = ImageFolder(str(folder), transform=transforms)
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"AlectioDataset: {folder}: expected images in a folder per class "
                f"({folder}/CLASS/NAME.jpg); they are not downloaded, so put them there ({error})"
            ) from error
        return dataset, len(dataset), dataset.class_to_idx
