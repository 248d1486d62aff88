// CIFAR-10 with the 20-layer residual network of He et al. 2015 (arXiv:1512.03385), section 4.2:
// 64,000 steps of 128 images, the rate divided by 10 after 32,000 and 48,000 steps.
//
//   TRAIN_PATH                    input of the reader cifar_binary: the published archive
//                                 (ARCHIVE.tar.gz::train), its unpacked folder, or one batch file
//   VALIDATION_PATH, TEST_PATH    optional, the same
local environment = std.extVar("environment");
local validation_path = std.get(environment, "VALIDATION_PATH");
local test_path = std.get(environment, "TEST_PATH");

// ImageNet's statistics, as the published weights of these networks expect
// (docs/tutorials/cifar10.md shows how to evaluate those).
local normalize = { type: "normalize", mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

{
  dataset_reader: {
    type: "cifar_binary",
    augmentation: [
      { type: "pad_if_needed", min_height: 40, min_width: 40 },
      { type: "random_crop", height: 32, width: 32 },
      { type: "horizontal_flip", p: 0.5 },
      normalize,
    ],
  },
  validation_dataset_reader: { type: "cifar_binary", augmentation: [normalize] },
  train_data_path: std.extVar("TRAIN_PATH"),
  validation_data_path: validation_path,
  test_data_path: test_path,
  evaluate_on_test: test_path != null,
  model: {
    type: "basic_image_classifier",
    im2im_encoder: { type: "cifar_resnet", depth: 20, shortcut: "A" },
    im2vec_encoder: { type: "pool", mode: "average" },
  },
  data_loader: { batch_size: 128 },
  trainer: {
    num_epochs: 164,
    validation_metric: if validation_path != null then "+accuracy" else "-loss",
    cuda_device: "auto",
    optimizer: { type: "sgd", lr: 0.1, momentum: 0.9, weight_decay: 1e-4 },
    learning_rate_scheduler: { type: "multi_step", milestones: [82, 123], gamma: 0.1 },
  },
}
