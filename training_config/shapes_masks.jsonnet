// A class for each pixel of drawn shapes (`allencv-al sample-data shapes DIR`): a small U-Net from
// random weights, and a loop that chooses the images whose masks are to be drawn.
//
//   SHAPES_PATH   DIR, with train/, validation/ and test/: images/ and masks/ in each.
local shapes = std.extVar('SHAPES_PATH');
{
  dataset_reader: { type: 'paired_image', num_classes: 4, augmentation: ['flip'] },
  validation_dataset_reader: { type: 'paired_image', num_classes: 4 },
  train_data_path: shapes + '/train',
  validation_data_path: shapes + '/validation',
  test_data_path: shapes + '/test',
  evaluate_on_test: true,
  model: {
    type: 'semantic_segmentation',
    num_classes: 4,
    encoder: { type: 'conv_maps', base_channels: 8 },
    decoder: { type: 'unet' },
  },
  data_loader: { batch_size: 16, shuffle: true },
  trainer: {
    num_epochs: 12,
    validation_metric: '+miou',  // nearly all pixels are background: the accuracy says little
    optimizer: { type: 'adamw', lr: 0.003 },
    learning_rate_scheduler: { type: 'one_cycle', max_lr: 0.01 },
  },
  active_learning: { strategy: 'entropy', query_size: 50, budget: 200 },
}
