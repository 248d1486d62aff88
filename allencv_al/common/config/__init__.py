"""From configs to objects: parameters, registries, checks and construction."""

translators: list[str] = []
"""Functions that change an experiment's config in place, named as `module:function`.

Higher floors name them here; they are imported when the first config is read. Old keys are
translated, and the preprocessing of a pretrained network is written out.
"""

components_above: dict[str, dict[str, str]] = {}
"""Components whose module lies on a floor above their family's: the module by name, by family.

The root package, which is above all floors, fills it; `builtin` of a family names no higher floor.
"""

REMOVED_IN = "0.4"
"""Version that removes the old names of modules and config keys."""
