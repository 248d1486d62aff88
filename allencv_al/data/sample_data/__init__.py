"""Small data sets to start with: made from an installed package, or downloaded."""
