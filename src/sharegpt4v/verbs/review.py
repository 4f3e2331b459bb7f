"""Look over captions beside their images in a browser, and keep verdicts that the quality gate takes.

PATH is a shard of captions or a folder of them, the seed captions, those that the gate has rejected, a corpus in
LLaVA's form, or what `s4v caption` wrote: .jsonl, .json or .parquet. They are indexed once, below .work/review; a file
that has changed is indexed again. The page is at the address that this command prints, for this machine alone, until
Ctrl-C.

Every verdict is on disk the moment it is given. The config takes the file of verdicts as captions.quality.reviewed, and
teacher.quality.reviewed of seed captions: what you reject is rejected, what you accept passes.

Examples:  s4v review data/captions
           s4v review data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k.json
           s4v review captions.jsonl --images ~/photographs --verdicts photographs.reviewed.jsonl
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import notice_around

PORT = 8420


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files of captions, or folders of them")
    parser.add_argument(
        "--images", type=Path, default=layout.DATA, metavar="FOLDER",
        help=f"the folder that the names of images are below (default: {layout.DATA})",
    )  # fmt: skip
    parser.add_argument(
        "--verdicts", type=Path, default=layout.REVIEWED, metavar="FILE",
        help=f"the verdicts, read and added to (default: {layout.REVIEWED})",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"of 127.0.0.1; 0 takes any free one (default: {PORT})"
    )


def run(options: Namespace) -> None:
    """Serve the page until a signal asks this command to end."""
    from sharegpt4v.loopback import server_of
    from sharegpt4v.report.review.index import open_index
    from sharegpt4v.report.review.judging import Reviewed
    from sharegpt4v.report.review.loopback import listen_at, new_secret
    from sharegpt4v.report.review.server import application

    paths = [path.expanduser() for path in options.paths]
    images = options.images.expanduser()
    if not images.is_dir():
        raise UserError(f"--images {images}: no such folder; expected the one that the images are below")
    index = open_index(paths, layout.WORK / "review")
    title, secret = ", ".join(map(str, paths)), new_secret()
    with Reviewed(index, options.verdicts.expanduser()) as reviewed, listen_at(options.port) as listener:
        app = application(index, reviewed, images, title, notice_around(paths[0]), secret)
        print(f"{len(index):,} captions at http://127.0.0.1:{listener.getsockname()[1]}/{secret}/", flush=True)
        server_of(app).run(sockets=[listener])
