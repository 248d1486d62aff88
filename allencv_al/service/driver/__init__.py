"""The loop's side of a pipeline: a learner that trains over HTTP."""
