"""Tasks of a pipeline: outputs and metrics of each kind of problem."""
