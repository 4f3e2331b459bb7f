"""Kind "tar": one or several tar archives, under any compression."""

from sharegpt4v.images.unpacking import Archives

KIND = Archives()
