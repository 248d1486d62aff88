"""Findings about a data set: wrong labels, copies, leaks between splits, and odd images."""
