"""Raw sources -> curated Parquet shards, tagged by source, with a verdict for every record."""
