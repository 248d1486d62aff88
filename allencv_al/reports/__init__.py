"""Kit of the reports of a run and of a comparison: pages, tables, charts and number formats."""
