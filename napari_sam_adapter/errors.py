"""Errors a person may meet. Each message says what happened, what was expected and what to do.

None of them is a ``RuntimeError``: superqt's generator workers swallow that one (a torch shape or
memory error would leave a button disabled for ever), so torch errors are turned into
`TrainingError` or `EngineError` where they cross a process or thread.
"""

import psygnal


class SamAdapterError(Exception):
    """Base of every error whose message is meant for the person at the screen.

    Attributes
    ----------
    details : str
        For developers, where the program itself is at fault: a traceback, or a process's log.
    """

    details = ""


class ImageError(SamAdapterError):
    """An image, mask or layer cannot be used as it is."""


class WeightsError(SamAdapterError):
    """The weights of a base model are missing, altered or of another shape."""


class CheckpointError(SamAdapterError):
    """An adapter file is broken, foreign, or belongs to another base model."""


class ConditionError(SamAdapterError):
    """A condition of the adapter is unknown, fails, or returns what cannot be used."""


class PromptError(SamAdapterError):
    """A box or a point cannot be used."""


class TrainingError(SamAdapterError):
    """Training could not start, or ended without a usable state."""


class EvaluationError(SamAdapterError):
    """An evaluation was asked for that cannot be made as it is."""


class EngineError(SamAdapterError):
    """The background process ended, or answered with an error."""


class ClusterError(SamAdapterError):
    """Workers on this or other machines cannot be reached, or cannot compute what is asked."""


class StorageError(SamAdapterError):
    """A file could not be written; what was there before is still there."""


class DamagedFileError(StorageError):
    """A file of ours does not hold what it should; it was not touched."""


def sentence_of(error: Exception) -> str:
    """Say in a sentence what an error is; of one in a signal's callback, what the callback says."""
    if isinstance(error, psygnal.EmitLoopError) and isinstance(error.__cause__, Exception):
        return sentence_of(error.__cause__)
    if isinstance(error, SamAdapterError):
        return str(error)
    first_line = (str(error).strip().splitlines() or ["no message"])[0]
    return f"An unexpected error happened: {type(error).__name__}: {first_line}"
