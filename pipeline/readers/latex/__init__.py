"""LaTeX: papers in all the forms in which arXiv gives them out, to Markdown with their mathematics."""

from pipeline.readers.latex.reader import LatexReader

__all__ = ["LatexReader"]
