"""Books, as EPUB and as plain text."""

from pipeline.readers.books.reader import BooksReader

__all__ = ["BooksReader"]
