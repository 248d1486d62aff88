// Which CIFAR-10 images to label, by a linear classifier on the frozen ImageNet features of
// SqueezeNet 1.1: a network that has never seen CIFAR's labels. Each image is encoded once; a round
// then takes a second.
//
//   TRAIN_PATH     the pool, as the reader cifar_binary takes it (ARCHIVE.tar.gz::train, or a folder)
//   TEST_PATH      the test images, likewise (ARCHIVE.tar.gz::test)
//   WEIGHTS_FILE   ImageNet weights in torchvision's names for squeezenet1_1; without it torchvision
//                  downloads its own
local environment = std.extVar("environment");

{
  dataset_reader: {
    type: "cifar_binary",
    augmentation: [
      // ImageNet's filters need more than 32 pixels; 96 cost a fifth of 224
      { type: "resize", height: 96, width: 96, interpolation: "cubic" },
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
  },
  trainer: { type: "logistic_regression", standardize: true, inverse_regularization: 0.01 },
  active_learning: {
    initial: { size: 200, strategy: "random" },
    strategy: "margin",
    query_size: 200,
    budget: 2000,
  },
}
