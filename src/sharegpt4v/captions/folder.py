"""Captions for a user's own photographs: an image, a folder of them, or the manifest of a source."""

from __future__ import annotations

import sys
from pathlib import Path

from sharegpt4v.captions.captioning import GenerationSettings, caption_images
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_jsonl
from sharegpt4v.image_paths import escaped, inside
from sharegpt4v.images.folder import images_below, problem_of


def caption_folder(
    model: Path | None, images: Path, out: Path, settings: GenerationSettings, work: Path
) -> tuple[int, int]:
    """Describe an image, all below a folder, or those of a manifest; return how many captions and errors.

    `model` is the folder of a checkpoint, None where an endpoint has it.

    `out` becomes JSON lines {image, caption} or {image, error}, sorted by image, a path relative to the folder or to
    the manifest's data/. An image that cannot be read is reported and skipped. Captions are kept in
    `<work>/captions.jsonl`, so the same call again asks only for what is new. `UserError` when there are no images.
    """
    files, errors = _manifest(images) if images.suffix == ".parquet" else _folder(images)
    if not files and not errors:
        raise UserError(f"{images}: no images in it; expected files such as .jpg or .png there or in sub-folders")
    captions: dict[str, str] = {}
    for name, captioned in caption_images(
        model, files, settings, work / "captions.jsonl", f"captions of {images}"
    ).items():
        if captioned.error is None:
            captions[name] = captioned.text
        else:
            errors[name] = captioned.error
    write_jsonl(
        out,
        (
            {"image": name, "caption": captions[name]} if name in captions else {"image": name, "error": errors[name]}
            for name in sorted(captions | errors)
        ),
    )
    for name in sorted(errors)[:10]:
        print(f"no caption for {name}: {errors[name]}", file=sys.stderr)
    print(f"{len(captions):,} captions and {len(errors):,} errors in {out}", file=sys.stderr)
    return len(captions), len(errors)


def _folder(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Return name → file for one image or what looks like one below a folder, and why others are not read.

    A name that is not UTF-8 cannot be written as JSON as it is: it is escaped, and so are backslashes.
    """
    if folder.is_file():
        return {escaped(folder.name): folder}, {}
    if not folder.is_dir():
        raise UserError(f"{folder}: no such file or folder; expected an image, images, or a manifest (.parquet)")
    files: dict[str, Path] = {}
    errors: dict[str, str] = {}
    for name, file in images_below(folder):
        if problem := problem_of(file, folder):
            errors[escaped(name)] = problem
        else:
            files[escaped(name)] = file
    return files, errors


def _manifest(path: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Return name → file for the usable images of ``data/manifests/NAME.parquet``, and why the others are not."""
    from sharegpt4v.images.findings import read_reasons
    from sharegpt4v.images.manifest import read_manifest

    reasons = read_reasons(path)
    files: dict[str, Path] = {}
    errors: dict[str, str] = {}
    for row in read_manifest(path):
        if row["status"] == "ok":
            files[row["path"]] = inside(path.parent.parent, row["path"])
        else:
            errors[row["path"]] = ": ".join(filter(None, (row["status"], reasons.get(row["path"]))))
    return files, errors
