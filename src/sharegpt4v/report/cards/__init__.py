"""Cards: a page about each model and data set of a run, with metadata for the Hugging Face Hub, from its records."""
