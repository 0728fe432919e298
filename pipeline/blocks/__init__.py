"""Blocks of datatrove as steps: `classes` finds and checks them, `step` sends documents through them.

This file imports nothing: the process in which pages are parsed needs `classes` without what `step` needs.
"""
