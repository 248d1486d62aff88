"""Our model as the machine-learning backend of Label Studio."""
