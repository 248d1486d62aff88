// Which handwritten digits to label (`allencv-al sample-data digits DIR --no-split`): a linear
// classifier on the 64 pixels, which trains in milliseconds, so that strategies can be compared over
// many seeds on a laptop.
//
//   TRAIN_PATH   DIR/all, one folder per class. For each seed, half of it is the test set; the labels
//                of the other half are hidden until they are queried.
{
  dataset_reader: { type: "image_classification_directory" },
  train_data_path: std.extVar("TRAIN_PATH"),
  model: {
    type: "basic_image_classifier",
    im2vec_encoder: { type: "flatten", input_height: 8, input_width: 8 },
  },
  trainer: {
    type: "logistic_regression",
    // The three channels of a gray image are equal and share the weight of one: 10 for one channel
    // is 10/3 for three.
    inverse_regularization: 10 / 3,
  },
  active_learning: {
    initial: { size: 10, strategy: "random" },
    strategy: "margin",
    query_size: 10,
    budget: 200,
    test_fraction: 0.5,
  },
}
