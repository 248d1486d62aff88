"""Selection: which images of a pool to label next."""
