"""Adapter versions: numbered files, which one is in use, and which one is the better."""
