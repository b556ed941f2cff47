"""Base models: where their weights are, how they are built, and how an image passes through."""
