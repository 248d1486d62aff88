"""The labeling page: images, buttons, and what people say of them."""
