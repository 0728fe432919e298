"""The store: texts of curated shards as tokens, mapped into memory, with sources made of others by their signals."""
