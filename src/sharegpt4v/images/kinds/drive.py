"""Kind "drive": files or a folder on Google Drive, archives and single images; the folder says which there are."""

from __future__ import annotations

from sharegpt4v.images.kind import Kind
from sharegpt4v.images.unpacking import Archives


class Drive(Archives):
    """Archives that are not known by name before the folder was read."""

    archives = Kind.archives
    bytes_on_disk = Kind.bytes_on_disk


KIND = Drive()
