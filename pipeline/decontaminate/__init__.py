"""Decontamination: which documents hold items of evaluation sets, and where.

Items become words, words become an index of 5-grams that lies in files and is shared by all workers; a document is read
once, and every tenth of its 5-grams looked up. Only around hits it is compared word by word. What is found are runs of
equal words, from which all rules follow.
"""
