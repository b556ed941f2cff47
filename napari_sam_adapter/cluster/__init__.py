"""Slices predicted by the workers of a Dask cluster (docs/cluster.md): the extra `cluster`."""
