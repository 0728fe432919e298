"""Deduplication of parts of documents across all sources: lines or paragraphs, runs of sentences, runs of words.

Each step names the spans of a text by a key of their words. Rows (key, document, place) are sorted, so that equal keys
meet in one range of the key space, and every span but the first of its key, in the order of the plan, is cut out.

All steps see the texts as they were before any cut. A word that is cut has an equal one earlier, with the same words
around it, and if that is cut too, one earlier still: the earliest stays, so that the order of steps changes nothing of
what is left of a text.
"""
