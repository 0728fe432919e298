"""The text layers of PDF files; needs the extra [pdf]."""

from pipeline.readers.pdf.reader import PdfReader

__all__ = ["PdfReader"]
