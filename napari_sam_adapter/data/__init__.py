"""Images from files, from stacks, and from a generator."""
