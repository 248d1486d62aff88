// Photographs in class folders: a linear classifier on the features of EfficientNet-Lite0, pretrained on
// ImageNet, which does not train. The best start with few labels, and a matter of seconds. The weights
// are those of the extra [offline]; nothing is downloaded.
//
//   TRAIN_PATH, VALIDATION_PATH   one folder per class (`allencv-al sample-data photographs DIR` writes
//                                 an example: DIR/train, DIR/validation).
local reader = { type: "image_classification_directory", augmentation: ["pretrained"] };

{
  dataset_reader: reader,
  validation_dataset_reader: reader,
  train_data_path: std.extVar("TRAIN_PATH"),
  validation_data_path: std.extVar("VALIDATION_PATH"),
  model: {
    type: "basic_image_classifier",
    im2vec_encoder: {
      type: "timm",
      model: "tf_efficientnet_lite0",
      weights_file: "package:efficientnet_lite0",
      requires_grad: false,
    },
    embedding_scaling: "center_l2",
  },
  trainer: { type: "logistic_regression", prior: "auto", inverse_regularization: "auto" },
}
