"""Which layers are worked on, where they lie, and what is edited in them."""
