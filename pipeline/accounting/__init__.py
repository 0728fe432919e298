"""Everything that explains a run from what it left on disk: counts, samples, what-if, the card and the report.

Nothing here changes a run; all of it reads the ledger, the receipts and the files through `folder.RunFolder`.
"""
