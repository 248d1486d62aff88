"""Readers of images with objects: boxes, their classes, keypoints."""
