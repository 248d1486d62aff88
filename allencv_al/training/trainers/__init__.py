"""Trainers, the training loop and its step."""
