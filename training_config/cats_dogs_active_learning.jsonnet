// Which photographs to label, by a linear classifier on the frozen ImageNet features of SqueezeNet
// 1.1: each photograph is encoded once, and a round takes a second.
//
//   TRAIN_PATH     the photographs. With one folder per class, labels are hidden until they are
//                  queried: a rehearsal that measures the gain of labels. With all photographs in
//                  one folder, a person labels them: set ANNOTATOR to file
//   TEST_PATH      the test images, one folder per class
//   ANNOTATOR      optional: ground_truth (the default), or file, which writes to_label.csv into the
//                  run directory and stops until its column "label" is filled in
//   WEIGHTS_FILE   ImageNet weights in torchvision's names for squeezenet1_1; without it torchvision
//                  downloads its own
local environment = std.extVar("environment");

{
  dataset_reader: {
    type: "image_classification_directory",
    augmentation: [
      { type: "resize", height: 224, width: 224, interpolation: "smooth" },
      { type: "normalize", mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    ],
  },
  train_data_path: std.extVar("TRAIN_PATH"),
  test_data_path: std.get(environment, "TEST_PATH"),
  model: {
    type: "basic_image_classifier",
    im2im_encoder: {
      type: "torchvision",
      model: "squeezenet1_1",
      weights: std.get(environment, "WEIGHTS_FILE", "IMAGENET1K_V1"),
      requires_grad: false,
    },
    im2vec_encoder: { type: "pool", mode: "average" },
    embedding_scaling: "center_l2",
  },
  // Learns from unlabeled photographs too: a few labels spread over those that look alike
  trainer: { type: "logistic_regression", prior: "auto", inverse_regularization: "auto" },
  active_learning: {
    // First, without a model: typical images. Then: images that the model is uncertain of.
    initial: { size: 10, strategy: "typiclust" },
    strategy: "margin",
    query_size: 10,
    budget: 100,
    annotator: std.get(environment, "ANNOTATOR", "ground_truth"),
  },
}
