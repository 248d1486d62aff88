"""From configs to objects: parameters, registries, checks and construction."""
