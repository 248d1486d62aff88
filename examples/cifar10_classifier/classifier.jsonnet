// The classifier of this example. `solution.py` fills OPTIONS from its flags; without it:
//
//   TRAIN_PATH=data/cifar-10-batches-py allencv-al train classifier.jsonnet -s RUN
//
//   TRAIN_PATH                    as the reader takes it, for example FOLDER::data_batch_1
//   VALIDATION_PATH, TEST_PATH    optional, the same
//   OPTIONS                       optional: JSON that replaces some of the defaults below
local environment = std.extVar("environment");
local validation_path = std.get(environment, "VALIDATION_PATH");
local test_path = std.get(environment, "TEST_PATH");

local options = {
  reader: "cifar_python",  // or cifar_binary
  seed: 0,
  learning_rate: 0.1,
  batch_size: 100,
  num_epoch: 25,
  rep_intv: 1000,
  log_dir: null,
  fresh_optimizer: false,  // true needs --include-package fresh_optimizer
  loss_type: "cross_entropy",  // or svm
  l2_reg: 1e-4,
  nchannel_base: 8,
  ksize: 3,
  num_conv_outer: 3,
  num_conv_inner: 1,
  num_class: 10,
  conv2d: "torch",  // or custom, the residual block
  convolution: "conv2d",  // or unfold_conv, the one that is written out
  pool: "max",
  activation: "relu",
} + std.parseJson(std.get(environment, "OPTIONS", "{}"));

{
  dataset_reader: {
    type: options.reader,
    // (x - 128) / 128
    augmentation: [{ type: "normalize", mean: [1, 1, 1], std: [1, 1, 1], max_pixel_value: 128 }],
  },
  train_data_path: std.extVar("TRAIN_PATH"),
  validation_data_path: validation_path,
  test_data_path: test_path,
  evaluate_on_test: test_path != null,
  random_seed: options.seed,
  numpy_seed: options.seed,
  pytorch_seed: options.seed,
  model: {
    type: "basic_image_classifier",
    im2im_encoder: {
      type: "conv_levels",
      conv: options.conv2d,
      convolution: options.convolution,
      base_channels: options.nchannel_base,
      num_levels: options.num_conv_outer,
      units_per_level: options.num_conv_inner,
      kernel_size: options.ksize,
      activation: options.activation,
      pool: options.pool,
    },
    im2vec_encoder: { type: "pool", mode: "average" },
    num_labels: options.num_class,
    loss: if options.loss_type == "svm" then "multi_margin" else options.loss_type,
    // The sum of squares of every weight, those of batch norms included, as in the original
    regularizer: { regexes: [["weight$", { type: "l2", alpha: options.l2_reg }]] },
  },
  data_loader: { batch_size: options.batch_size },
  trainer: {
    num_epochs: options.num_epoch,
    validation_metric: if validation_path != null then "+accuracy" else "-loss",
    precision: "fp32",
    optimizer: { type: "adam", lr: options.learning_rate },
    // The rate, a tenth of it from epoch 50 on, a hundredth from epoch 80 on
    learning_rate_scheduler: { type: "multi_step", milestones: [50, 80], gamma: 0.1 },
    checkpointer: { save_every_num_batches: options.rep_intv },
    callbacks:
      (
        if options.log_dir == null then []
        else [{
          type: "tensorboard",
          log_dir: options.log_dir,
          summary_interval: options.rep_intv,
        }]
      )
      + (if options.fresh_optimizer then [{ type: "fresh_optimizer" }] else []),
  },
}
