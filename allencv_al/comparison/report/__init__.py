"""The report and the tables of a comparison."""
