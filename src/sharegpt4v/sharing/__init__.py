"""Data sets and models for others: captions as Parquet, webdataset or LLaVA JSON with card and Croissant metadata, and
their upload to the Hugging Face Hub."""
