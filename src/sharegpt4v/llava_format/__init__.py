"""The LLaVA JSON format of captions and conversations: files read row by row and checked field by field."""
