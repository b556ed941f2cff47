"""Volumes and large pictures: slices in and out, and what neighbouring slices say of each other."""
