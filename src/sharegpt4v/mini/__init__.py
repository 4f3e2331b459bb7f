"""The synthetic world of the mini preset: it replaces every download, so that the whole paper runs on a laptop.

Scenes are drawn as small pictures, packed into the same archives, annotation files and benchmark folders as the
published data, and served on loopback HTTP. The scene graph itself is seen by the teacher alone; a model learns
from pixels, captions and instruction rows, as with real data.
"""
