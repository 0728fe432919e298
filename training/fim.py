"""Fill-in-the-middle: documents rearranged so that a model learns to write what lies between two texts."""

from enum import IntEnum


class Mode(IntEnum):
    """How a document is laid out."""

    PLAIN = 0
    PSM = 1
    SPM = 2
