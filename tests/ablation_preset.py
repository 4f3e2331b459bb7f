"""A small study over the smoke preset: one model that is no row of the table, of captions and a mix of its own."""

from __future__ import annotations

from pathlib import Path

from conftest import PROJECT

STUDY = """\
base: {base}
name: small
ablations:
  studies:
    captions:
      title: Half of the captions, and the captioner's in the mix
      model: sharegpt4v-7b
      paper: Table 6
      memory: true
      variants:
        - {{name: whole, paper: tuned from block 12}}
        - name: half
          paper: tuned from block 0
          captions: {{share: 0.5}}
          recipe: {{tune_vit_from_layer: 0{more}}}
          finetuning_captions: captioner
        - {{name: by another captioner, paper: tuned from block 6, captions: {{captioner: {{seed_captions: 0.5}}}}}}
    again:
      title: What is stated twice is made once
      model: sharegpt4v-7b
      draw: curve
      variants:
        - {{name: half, captions: {{share: 0.5}}, recipe: {{tune_vit_from_layer: 0}}, finetuning_captions: captioner}}
        - {{name: whole, captions: {{sources: [sam, llava, coco]}}, recipe: {{tune_vit_from_layer: 1}}}}
"""


def small_study(folder: Path, more: str = "") -> Path:
    """Write the preset into a folder; `more` are further keys of the recipe of a variant."""
    path = folder / "small.yaml"
    path.write_text(STUDY.format(base=PROJECT / "config/smoke.yaml", more=more))
    return path
