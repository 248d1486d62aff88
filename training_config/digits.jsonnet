// Handwritten digits, 8x8 pixels (`allencv-al sample-data digits DIR`): under a minute on a laptop.
//
//   TRAIN_PATH, VALIDATION_PATH   DIR/train, DIR/validation
//   TEST_PATH                     optional: DIR/test, measured with the best weights at the end
local environment = std.extVar("environment");
local test_path = std.get(environment, "TEST_PATH");

local NUM_EPOCHS = 15;

local reader(augmentation) = {
  type: "image_classification_directory",
  augmentation: augmentation + [
    { type: "normalize", mean: [0.3, 0.3, 0.3], std: [0.4, 0.4, 0.4] },
  ],
  lazy: false,  // 1,797 images of 192 bytes
};

{
  dataset_reader: reader([{ type: "rotate", limit: 10, p: 0.5 }]),
  validation_dataset_reader: reader([]),
  train_data_path: std.extVar("TRAIN_PATH"),
  validation_data_path: std.extVar("VALIDATION_PATH"),
  test_data_path: test_path,
  evaluate_on_test: test_path != null,
  model: {
    type: "basic_image_classifier",
    im2im_encoder: {
      type: "feedforward",
      num_layers: 2,
      hidden_channels: [32, 64],
      activations: "relu",
      kernel_sizes: 3,
    },
    im2vec_encoder: { type: "flatten", input_height: 8, input_width: 8 },
    dropout: 0.3,
  },
  data_loader: { batch_size: 32 },
  trainer: {
    num_epochs: NUM_EPOCHS,
    validation_metric: "+accuracy",
    optimizer: { type: "adamw", lr: 2e-3 },
    learning_rate_scheduler: { type: "one_cycle", max_lr: 4e-3 },
  },
}
