"""Measurements of text and the ranges they must stay in; usable alone, without the rest of Gristmill."""
