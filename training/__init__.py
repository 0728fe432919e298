"""Curated shards -> a model."""
