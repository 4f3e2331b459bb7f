"""Captions as data sets for others (Parquet, webdataset, LLaVA JSON), and the upload of these and of models to the Hub."""
