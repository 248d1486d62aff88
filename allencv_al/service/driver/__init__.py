"""The loop's side of a pipeline: a learner whose training is somebody else's, over HTTP."""
