"""Extraction of main text from web pages, in a process that the kernel can end when a page will not."""

from pipeline.extract.step import Extract

__all__ = ["Extract"]
