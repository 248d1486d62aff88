"""Arguments and inputs that commands share."""
