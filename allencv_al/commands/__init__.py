"""The command line: one module per subcommand, with its heavy imports inside ``run``."""
