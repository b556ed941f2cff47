"""A project folder: images, what was done to their masks, and the adapters that came of it."""
