"""The seed captions (paper §3.2): a strong vision model, the teacher, describes 100K images in detail.

`stage` puts it together: the prompts of each image, the endpoint's replies, the quality gate, and a page to review.
"""
