"""Stored state of a pipeline: experiments, checkpoints, answers, outputs."""
