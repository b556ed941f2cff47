"""The classes that are worked with in a project, which several windows may have open."""

from __future__ import annotations

from napari_sam_adapter.adapter.classes import Classes, differences
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.remembered import remembered_classes
from napari_sam_adapter.versions.adapter_version import AdapterVersion


class ClassesInUse:
    """What the labels stand for in one window; `keep` and `take_over` agree with the others.

    Parameters
    ----------
    project : Project
    version : AdapterVersion or None
        The version in use; what it has learned counts where the project names no classes.

    Attributes
    ----------
    classes : Classes
    """

    def __init__(self, project: Project, version: AdapterVersion | None) -> None:
        self._project = project
        # As the project's file had them when it was read or written here last.
        self._kept = project.classes
        self.classes = remembered_classes(project, version)
        # What other versions (None: the base model) were worked with when they were left.
        self._left: dict[int | None, Classes] = {}

    def leave(self, version: AdapterVersion | None) -> None:
        """Remember what a version is worked with until now, for when it is chosen again."""
        self._left[_number(version)] = self.classes

    def of_chosen(self, version: AdapterVersion | None) -> Classes:
        """Return what a version is worked with: as it was left, else what it has learned.

        The base model, which can learn any, takes no class away.
        """
        left = self._left.pop(_number(version), None)
        if version is not None:
            return left or Classes.of(version.card)
        return max(left or self.classes, self.classes, key=len)

    def keep(self, classes: Classes) -> None:
        """Work with other classes, today and tomorrow.

        Raises
        ------
        StorageError
            If they cannot be written down; those before stay then.
        """
        if classes != self.classes:
            with self._project.changing():
                # What another window has written is not overwritten before it was seen here.
                if self._project.classes in (None, self._kept):
                    self._project.keep_classes(classes)
                    self._kept = classes
        self.classes = classes

    def take_over(self) -> str:
        """Have the classes that another window has written down; labels beyond stay as they are.

        Returns
        -------
        str
            Which labels have another name now, in a sentence; "" where none has.
        """
        there, before = self._project.classes, self.classes
        if there is None or there == self._kept:
            return ""
        self._kept = there
        self.classes = there.with_further(before)
        self._left = {n: there.with_further(left) for n, left in self._left.items()}
        changes = differences(before.names, self.classes.names)
        if not changes:
            return ""
        return (
            f"Another window has changed the classes of this project: {changes}. They are so here "
            "now, too; see whether your masks mean the same."
        )


def _number(version: AdapterVersion | None) -> int | None:
    return None if version is None else version.number
