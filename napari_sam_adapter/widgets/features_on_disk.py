"""How much of the disk encoded slices may take, as Preferences say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam_adapter.sam.feature_files import GIGABYTE, delete_feature_files
from napari_sam_adapter.widgets.preferences import on_preferences_changed, preference

if TYPE_CHECKING:
    from napari_sam_adapter.session.session import Session


class FeaturesOnDisk:
    """Tells a session's processes what Preferences say, and deletes the files where that is 0.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stop = on_preferences_changed("computing", self._follow)
        self._follow()

    def close(self) -> None:
        """Follow no longer."""
        self._stop()

    def _follow(self) -> None:
        gigabytes = preference("computing", "disk_gigabytes")
        self._session.keep_on_disk(int((gigabytes or 0) * GIGABYTE))
        if gigabytes == 0:
            delete_feature_files()
