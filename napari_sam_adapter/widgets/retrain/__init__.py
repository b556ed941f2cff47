"""A training run, what it learns from, and what becomes of its adapter."""
