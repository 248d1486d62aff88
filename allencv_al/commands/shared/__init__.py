"""What several subcommands share: arguments, inputs, and results."""
