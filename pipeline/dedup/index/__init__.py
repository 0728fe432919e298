"""An index of earlier runs: the sorted keys of their documents are kept, so that their text need not be read again.

A new run is deduplicated against it as though the documents in it came before its own. The price is 16 bytes for each
key and document, and what a second look at pairs needs.
"""
