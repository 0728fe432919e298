"""The error of everything that has to do with Hugging Face folders."""


class HuggingFaceError(Exception):
    """A folder cannot be read or written; the message names the file and what is unsupported, missing or in the way."""
