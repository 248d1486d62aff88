// Several classes per image, of drawn shapes (`allencv-al sample-data shapes DIR`): a small network
// from random weights, and a loop that chooses the images to label.
//
//   SHAPES_PATH   DIR, with train/, validation/ and test/: images/ and labels.jsonl in each.
local shapes = std.extVar('SHAPES_PATH');
{
  dataset_reader: { type: 'manifest', augmentation: ['flip', 'normalize'] },
  validation_dataset_reader: { type: 'manifest', augmentation: ['normalize'] },
  train_data_path: shapes + '/train/labels.jsonl',
  validation_data_path: shapes + '/validation/labels.jsonl',
  test_data_path: shapes + '/test/labels.jsonl',
  evaluate_on_test: true,
  model: {
    type: 'basic_image_classifier',
    task: 'multi_label',
    im2im_encoder: { type: 'conv_levels', conv: 'custom', base_channels: 16, num_levels: 4 },
    im2vec_encoder: 'pool',
  },
  data_loader: { batch_size: 32, shuffle: true },
  trainer: {
    num_epochs: 12,
    validation_metric: '+macro_f1',
    optimizer: { type: 'adamw', lr: 0.003 },
    learning_rate_scheduler: { type: 'one_cycle', max_lr: 0.005 },
  },
  active_learning: { strategy: 'margin', query_size: 50, budget: 200 },
}
