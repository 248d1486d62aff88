"""Labels: events, databases, tables, exchange formats, annotators and labeling sessions."""
