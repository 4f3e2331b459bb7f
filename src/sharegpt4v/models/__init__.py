"""The LMM: a CLIP vision tower, a two-layer projector and a Llama, as transformers' LLaVA classes (paper section 4.1)."""
