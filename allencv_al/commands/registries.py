"""The families of components and their base classes."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allencv_al.common.config.registrable import Registrable

REGISTRIES = {
    "data_loader": "allencv_al.data.data_loaders:DataLoader",
    "dataset_reader": "allencv_al.data.dataset_readers:DatasetReader",
    "image_transform": "allencv_al.data.transforms:ImageTransform",
    "vocabulary": "allencv_al.data.vocabulary:Vocabulary",
    "im2im_encoder": "allencv_al.modules.im2im_encoders:Im2ImEncoder",
    "im2vec_encoder": "allencv_al.modules.im2vec_encoders:Im2VecEncoder",
    "image_encoder": "allencv_al.modules.image_encoders:ImageEncoder",
    "image_decoder": "allencv_al.modules.image_decoders:ImageDecoder",
    "convolution": "allencv_al.modules.convolutions:Convolution",
    "activation": "allencv_al.modules.activations:Activation",
    "initializer": "allencv_al.modules.initializers:Initializer",
    "regularizer": "allencv_al.modules.regularizers:Regularizer",
    "label_task": "allencv_al.tasks:LabelTask",
    "metric": "allencv_al.metrics:Metric",
    "model": "allencv_al.models.model:Model",
    "trainer": "allencv_al.training.trainers.base:Trainer",
    "optimizer": "allencv_al.training.optimizers:Optimizer",
    "learning_rate_scheduler": "allencv_al.training.learning_rate_schedulers:LearningRateScheduler",
    "momentum_scheduler": "allencv_al.training.momentum_schedulers:MomentumScheduler",
    "moving_average": "allencv_al.training.trainers.moving_average:MovingAverage",
    "checkpointer": "allencv_al.training.checkpoints.checkpointer:Checkpointer",
    "trainer_callback": "allencv_al.training.callbacks:TrainerCallback",
    "query_strategy": "allencv_al.selection.strategies:QueryStrategy",
    "annotator": "allencv_al.labels.annotators:Annotator",
    "learner": "allencv_al.active_learning.learners:Learner",
    "stop_rule": "allencv_al.active_learning.stop_rules:StopRule",
    "predictor": "allencv_al.predictors.predictor:Predictor",
}


def load_registry(name: str) -> type[Registrable]:
    """Import and return the base class of a family."""
    base: type[Registrable] = pkgutil.resolve_name(REGISTRIES[name])
    return base
