"""The adapter: what it computes, how it is configured, and how it is stored."""
