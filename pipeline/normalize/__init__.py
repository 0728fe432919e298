"""Text to one form: composed characters, repaired encodings, one kind of line end, nothing invisible or superfluous."""

from pipeline.normalize.step import Normalize

__all__ = ["Normalize"]
