// The tutorial's classifier (docs/tutorials/cats_and_dogs.md): a ResNet-50 trained on ImageNet,
// fine-tuned from its last layer down.
//
//   TRAIN_PATH, VALIDATION_PATH   folders with one subfolder per class
//   TEST_PATH                     optional: measured with the best weights at the end
local environment = std.extVar("environment");
local test_path = std.get(environment, "TEST_PATH");

local NUM_EPOCHS = 8;  // gradual unfreezing of 6 groups needs at least 6

local deterministic_transforms = [
  { type: "resize", height: 512, width: 512 },
  { type: "normalize", mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
];

{
  dataset_reader: {
    type: "image_classification_directory",
    augmentation: deterministic_transforms + [
      { type: "flip", p: 0.5 },
      { type: "channel_shuffle", p: 0.5 },
    ],
    lazy: true,
  },
  validation_dataset_reader: {
    type: "image_classification_directory",
    augmentation: deterministic_transforms,
    lazy: true,
  },
  train_data_path: std.extVar("TRAIN_PATH"),
  validation_data_path: std.extVar("VALIDATION_PATH"),
  test_data_path: test_path,
  evaluate_on_test: test_path != null,
  model: {
    type: "basic_image_classifier",
    im2im_encoder: {
      type: "pretrained_resnet",
      resnet_model: "resnet50",
      requires_grad: true,
    },
    im2vec_encoder: { type: "flatten" },
  },
  data_loader: { batch_size: 16, num_workers: 2 },
  trainer: {
    num_epochs: NUM_EPOCHS,
    validation_metric: "+accuracy",
    cuda_device: "auto",
    optimizer: {
      type: "adam",
      lr: 1e-3,
      parameter_groups: [
        [["^_im2im_encoder\\.model\\.(0|1)"]],
        [["^_im2im_encoder\\.model\\.4"]],
        [["^_im2im_encoder\\.model\\.5"]],
        [["^_im2im_encoder\\.model\\.6"]],
        [["^_im2im_encoder\\.model\\.7"]],
        [["^_classification_layer"]],
      ],
    },
    learning_rate_scheduler: {
      type: "slanted_triangular",
      num_epochs: NUM_EPOCHS,
      gradual_unfreezing: true,
      discriminative_fine_tuning: true,
    },
    patience: 20,
  },
}
