"""Config files: jsonnet, YAML and overrides."""
