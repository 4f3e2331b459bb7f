"""The LMM: CLIP vision tower, two-layer projector and Llama, as transformers' LLaVA classes (paper section 4.1)."""
