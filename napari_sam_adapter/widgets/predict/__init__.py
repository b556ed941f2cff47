"""Masks from models and from neighbours, written into the masks layer."""
