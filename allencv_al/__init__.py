"""From a folder of images and a few labels to a good classifier, with the fewest labels.

One jsonnet file describes an experiment; every part of it is a registered, typed component. The
names below are imported when first used, so that `import allencv_al` costs nothing.
"""

from typing import TYPE_CHECKING

from allencv_al.common.config import components_above, translators
from allencv_al.common.lazy_exports import lazy_exports
from allencv_al.compat.old_modules import install

__version__ = "0.2.0"

install()
# After `install`: of today's keys
translators.append("allencv_al.modules.pretrained_encoders:complete_preprocessing")
components_above.update(
    annotator={"labeling_server": "allencv_al.service.labeling.annotator"},
    learner={"pipeline": "allencv_al.service.driver.learner"},
    query_strategy={"oracle": "allencv_al.comparison.oracle"},
)

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AllenCVError": "allencv_al.common.errors",
        "ConfigurationError": "allencv_al.common.errors",
        "DatasetReader": "allencv_al.data.dataset_readers.base",
        "Experiment": "allencv_al.training.experiment",
        "Im2ImEncoder": "allencv_al.modules.im2im_encoders.base",
        "Im2VecEncoder": "allencv_al.modules.im2vec_encoders.base",
        "ImagePredictor": "allencv_al.predictors.image_predictor",
        "ImageTransform": "allencv_al.data.transforms.base",
        "Instance": "allencv_al.data.instance",
        "Model": "allencv_al.models.model",
        "Params": "allencv_al.common.config.params",
        "Predictor": "allencv_al.predictors.predictor",
        "Registrable": "allencv_al.common.config.registrable",
        "Sample": "allencv_al.data.instance",
        "Vocabulary": "allencv_al.data.vocabulary",
        "load_archive": "allencv_al.models.archive",
    },
)

if TYPE_CHECKING:
    from allencv_al.common.config.params import Params as Params
    from allencv_al.common.config.registrable import Registrable as Registrable
    from allencv_al.common.errors import AllenCVError as AllenCVError
    from allencv_al.common.errors import ConfigurationError as ConfigurationError
    from allencv_al.data.dataset_readers.base import DatasetReader as DatasetReader
    from allencv_al.data.instance import Instance as Instance
    from allencv_al.data.instance import Sample as Sample
    from allencv_al.data.transforms.base import ImageTransform as ImageTransform
    from allencv_al.data.vocabulary import Vocabulary as Vocabulary
    from allencv_al.models.archive import load_archive as load_archive
    from allencv_al.models.model import Model as Model
    from allencv_al.modules.im2im_encoders.base import Im2ImEncoder as Im2ImEncoder
    from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder as Im2VecEncoder
    from allencv_al.predictors.image_predictor import ImagePredictor as ImagePredictor
    from allencv_al.predictors.predictor import Predictor as Predictor
    from allencv_al.training.experiment import Experiment as Experiment
