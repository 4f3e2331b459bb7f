"""Qwen-VL-Chat, whose equal substitution the paper reports (figure 2): a ViT, a resampler, and Qwen as Qwen2."""
