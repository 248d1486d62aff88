"""Label exchange with other programs: formats, export, import and conversion."""

FORMATS = (
    *("csv", "jsonl", "folders", "label-studio", "label-studio-min"),
    *("coco", "cvat", "pascal-voc", "yolo", "labelme"),
    *("fiftyone", "huggingface", "labelbox", "vertex", "sagemaker"),
    *("supervisely", "roboflow", "kaggle", "masks"),
)
"""The names of the formats; defined here so that `--help` imports nothing else."""

LABELING = "labeling"
"""The name, beside those of formats, by which a conversion makes the folder of a labeling."""

OF_ANNOTATORS = FORMATS[:5]
"""The formats that hold annotators, times and several labels of one image."""

UPRIGHT = (
    *("label-studio", "yolo", "labelme", "fiftyone", "huggingface", "labelbox", "vertex"),
    *("supervisely", "masks"),
)
"""The formats whose programs show images upright, whatever their EXIF orientation."""

CARRIED = {
    "folders": ("single_label",),
    "label-studio": ("single_label", "multi_label", "detection", "segmentation"),
    "label-studio-min": ("single_label",),
    "coco": ("detection", "segmentation"),
    "cvat": ("single_label", "multi_label", "detection", "segmentation"),
    "pascal-voc": ("detection",),
    "yolo": ("detection",),
    "labelme": ("multi_label", "detection", "segmentation"),
    "fiftyone": ("single_label", "multi_label", "detection"),
    "huggingface": ("single_label", "multi_label", "detection"),
    "labelbox": ("single_label", "multi_label", "detection", "segmentation"),
    "vertex": ("single_label", "multi_label", "detection"),
    "sagemaker": ("single_label", "multi_label", "detection"),
    "supervisely": ("single_label", "multi_label", "detection", "segmentation"),
    "roboflow": ("single_label", "multi_label"),
    "kaggle": ("single_label", "multi_label"),
    "masks": ("segmentation",),
}
"""The tasks whose labels a format can hold; tables and JSON lines, which are not here, hold all."""
