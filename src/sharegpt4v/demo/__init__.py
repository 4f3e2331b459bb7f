"""A model behind a page in the browser: the loopback server that streams its answers, and the pages' own process."""
