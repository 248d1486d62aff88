"""Files: atomic writes, paths, tables, locks."""
