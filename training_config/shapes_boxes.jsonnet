// Boxes around drawn shapes (`allencv-al sample-data shapes DIR`): a small FCOS from random weights,
// and a loop that chooses the images whose boxes are to be drawn.
//
//   SHAPES_PATH   DIR, with train/, validation/ and test/: images/ and annotations/ in each.
local shapes = std.extVar('SHAPES_PATH');
{
  dataset_reader: { type: 'image_annotation', augmentation: ['flip'] },
  validation_dataset_reader: { type: 'image_annotation' },
  train_data_path: shapes + '/train',
  validation_data_path: shapes + '/validation',
  test_data_path: shapes + '/test',
  evaluate_on_test: true,
  model: {
    type: 'fcos',
    backbone: {
      type: 'feature_pyramid',
      output_channels: 64,
      backbone: { type: 'conv_maps', base_channels: 16, skip_levels: 2 },
    },
  },
  data_loader: { batch_size: 8, shuffle: true },
  trainer: {
    num_epochs: 12,
    validation_metric: '+AP50',  // detectors have no loss in evaluation
    optimizer: { type: 'adamw', lr: 0.003 },
    learning_rate_scheduler: { type: 'one_cycle', max_lr: 0.003 },
  },
  active_learning: { strategy: 'entropy', query_size: 50, budget: 200 },
}
