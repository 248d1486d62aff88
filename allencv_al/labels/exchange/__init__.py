"""Label exchange with other programs: formats, export and import."""

FORMATS = (
    *("csv", "jsonl", "folders", "label-studio", "label-studio-min"),
    *("coco", "cvat", "pascal-voc", "yolo", "labelme"),
)
"""The names of the formats; defined here so that `--help` imports nothing else."""

OF_ANNOTATORS = FORMATS[:5]
"""The formats that hold annotators, times and several labels of one image."""

UPRIGHT = ("label-studio", "yolo", "labelme")
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
}
"""The tasks whose labels a format can hold; tables and JSON lines, which are not here, hold all."""
