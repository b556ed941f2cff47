"""The state of one dock, one per viewer."""
