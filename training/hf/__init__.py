"""Hugging Face folders: read into a decoder, and written from one."""

from training.hf.check import Check, exported, imported
from training.hf.config import read_shape
from training.hf.error import HuggingFaceError
from training.hf.folder import begun, export
from training.hf.origin import origin_of
from training.hf.resize import resized, sub_tokens
from training.hf.weights import load

__all__ = [
    "Check",
    "HuggingFaceError",
    "begun",
    "export",
    "exported",
    "imported",
    "load",
    "origin_of",
    "read_shape",
    "resized",
    "sub_tokens",
]
