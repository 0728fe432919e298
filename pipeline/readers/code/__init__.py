"""Source code from folders, git repositories and archives, with language, path and licence of every file."""

from pipeline.readers.code.reader import CodeReader

__all__ = ["CodeReader"]
