"""Deduplication across all sources: keys of documents, edges between documents with equal keys, clusters of edges.

Every piece reads and writes whole files and depends on nothing but its arguments, so that any engine can run it.
"""
