"""Which images are of one patient, without saying who it is."""

from __future__ import annotations

import hashlib
from functools import lru_cache

ITERATIONS = 50_000  # some 20 ms for each patient


@lru_cache(maxsize=4096)
def patient_group(patient_id: str) -> str | None:
    """Return what is alike for images of one patient, but does not say who it is.

    Parameters
    ----------
    patient_id : str

    Returns
    -------
    str or None
        12 hexadecimal digits of a one-way hash; None where there is no ID. The hash is slow, so
        that trying all IDs that a hospital may give takes long.
    """
    if not patient_id:
        return None
    hashed = hashlib.pbkdf2_hmac(
        "sha256", patient_id.encode(), b"napari-sam-adapter patient", ITERATIONS, dklen=6
    )
    return hashed.hex()
