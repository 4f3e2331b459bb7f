"""Share-Captioner: trained on the seed captions, it describes all images of the pre-training corpus (paper §3.3)."""
