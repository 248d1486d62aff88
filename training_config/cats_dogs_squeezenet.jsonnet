// A linear classifier on the frozen features of SqueezeNet 1.1: a good start with a few hundred
// photographs, on a laptop without a GPU.
//
//   TRAIN_PATH, VALIDATION_PATH   folders with one subfolder per class (VALIDATION_PATH is optional)
//   TEST_PATH                     optional: measured with the best weights at the end
//   WEIGHTS_FILE                  ImageNet weights in torchvision's names for squeezenet1_1;
//                                 without it torchvision downloads its own
local environment = std.extVar("environment");
local validation_path = std.get(environment, "VALIDATION_PATH");
local test_path = std.get(environment, "TEST_PATH");

local reader = {
  type: "image_classification_directory",
  augmentation: [
    { type: "resize", height: 224, width: 224, interpolation: "smooth" },
    { type: "normalize", mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  ],
};

{
  dataset_reader: reader,
  train_data_path: std.extVar("TRAIN_PATH"),
  validation_data_path: validation_path,
  test_data_path: test_path,
  evaluate_on_test: test_path != null,
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
  data_loader: { batch_size: 32 },
  trainer: {
    num_epochs: 8,
    [if validation_path != null then "validation_metric"]: "+accuracy",
    cuda_device: "auto",
    optimizer: { type: "adamw", lr: 3e-3, weight_decay: 0.01 },
    learning_rate_scheduler: { type: "cosine_with_warmup", num_warmup_steps: 10 },
  },
}
