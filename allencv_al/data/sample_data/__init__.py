"""Small data sets to start with: one made from an installed package, one downloaded."""
