"""Kind "zip": one or several zip archives."""

from sharegpt4v.images.unpacking import Archives

KIND = Archives()
