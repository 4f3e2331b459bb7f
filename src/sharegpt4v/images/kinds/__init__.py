"""One file per kind of source: a module `NAME` holds the `KIND` that the column `kind` of the catalogue calls NAME."""
