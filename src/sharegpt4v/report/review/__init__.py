"""A page on this machine for people to look over captions beside their images, and to say which to keep."""
