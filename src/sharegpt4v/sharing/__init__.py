"""Captions as data sets for others (Parquet, webdataset, LLaVA JSON); they and models uploaded to the Hub."""
