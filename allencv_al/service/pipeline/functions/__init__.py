"""The user's functions: how they are called and what they return."""
