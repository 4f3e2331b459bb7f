"""Images: from the sources of the paper (its section 3 and data page) to organised folders and manifests.

`kind` is the protocol of a kind of source and `kinds` has a file for each, which brings files under ``data/``; `intake`
decodes every image once; `manifest` keeps what was found; `stage` puts these steps in order. `loading` is the one
place where an image file becomes RGB pixels, here and in every later stage.
"""
