"""The pool of unlabeled images and what models output for it."""
