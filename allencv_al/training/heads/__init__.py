"""Linear heads on frozen embeddings, in closed form or by a convex problem; they know no torch."""
