"""Hugging Face folders: read into a decoder, and written from one."""

from training.hf.folder import HuggingFaceError, export, load, read_shape, resized

__all__ = ["HuggingFaceError", "export", "load", "read_shape", "resized"]
