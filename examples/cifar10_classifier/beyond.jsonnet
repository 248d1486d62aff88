// Going beyond: the 20-layer residual network of He et al. 2015 in place of the small one, random
// crops and flips, a rate that rises and falls once, and label smoothing. One run on 20,000 images
// of CIFAR-10 is in docs/results/cifar10_classifier.md.
//
//   TRAIN_PATH=data/cifar-10-batches-py TEST_PATH=data/cifar-10-batches-py::test \
//     allencv-al train beyond.jsonnet -s RUN
//
//   READER, NUM_EPOCHS, SEED      optional: cifar_binary for the binary batches; 18; 0
local environment = std.extVar("environment");
local test_path = std.get(environment, "TEST_PATH");
local reader = std.get(environment, "READER", "cifar_python");
local num_epochs = std.parseInt(std.get(environment, "NUM_EPOCHS", "18"));
local seed = std.parseInt(std.get(environment, "SEED", "0"));

local normalize = { type: "normalize", mean: [0.491, 0.482, 0.447], std: [0.247, 0.244, 0.262] };

{
  dataset_reader: {
    type: reader,
    augmentation: [
      { type: "pad_if_needed", min_height: 40, min_width: 40 },
      { type: "random_crop", height: 32, width: 32 },
      { type: "horizontal_flip", p: 0.5 },
      normalize,
    ],
  },
  validation_dataset_reader: { type: reader, augmentation: [normalize] },
  train_data_path: std.extVar("TRAIN_PATH"),
  test_data_path: test_path,
  evaluate_on_test: test_path != null,
  random_seed: seed,
  numpy_seed: seed,
  pytorch_seed: seed,
  model: {
    type: "basic_image_classifier",
    im2im_encoder: { type: "cifar_resnet", depth: 20 },
    im2vec_encoder: { type: "pool", mode: "average" },
    label_smoothing: 0.1,
  },
  data_loader: { batch_size: 128 },
  trainer: {
    num_epochs: num_epochs,
    optimizer: { type: "sgd", lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 5e-4 },
    learning_rate_scheduler: { type: "one_cycle", max_lr: 0.3 },
  },
}
