"""The demo server: a trained model behind a page and a small HTTP interface."""
