"""Parallel corpora: sentences and their translations, as documents for a language model."""

from pipeline.readers.parallel.reader import ParallelReader

__all__ = ["ParallelReader"]
