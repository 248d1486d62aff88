"""Labels on their way to other programs and back."""
