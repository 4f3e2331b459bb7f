"""Images: from the sources of the paper (its section 3 and data page) to organised folders and manifests.

`catalogue` names the sources; `fetch`, `archives`, `urls` and `folder` bring their files under ``data/``; `intake`
decodes every image once; `manifest` keeps what was found; `stage` puts these steps in order. `loading` is the one
place where an image file becomes RGB pixels, here and in every later stage.
"""
