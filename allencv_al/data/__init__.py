"""Images to batches: decoding, transforms, readers, vocabulary and loaders."""
