"""What the page asks for: itself, rows, images, and to keep a verdict or take it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from sharegpt4v.corpora.caption_files import Row
from sharegpt4v.errors import UserError
from sharegpt4v.report.review.images import image_file
from sharegpt4v.report.review.index import Index, counted
from sharegpt4v.report.review.judging import REASONS, Reviewed, can_be_judged
from sharegpt4v.report.review.loopback import behind
from sharegpt4v.report.review.query import VERDICTS, Filter, Query

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = Path(__file__).parent / "page"
ROWS = 50
SHOWN_SOURCES = 200


def application(index: Index, reviewed: Reviewed, images: Path, title: str, notice: str, secret: str) -> Starlette:
    """Return the server as an ASGI application; the page is at `/SECRET/`."""
    from starlette.routing import Route

    desk = _Desk(index, reviewed, images, {"title": title, "notice": notice})
    routes = [
        Route("/", desk.page),
        Route("/page.{kind}", desk.part),
        Route("/rows", desk.rows),
        Route("/image/{number:int}", desk.image),
        Route("/verdict", desk.verdict, methods=["POST"]),
        Route("/undo", desk.undo, methods=["POST"]),
    ]
    return behind(secret, routes)


class _Desk:
    """Answers the requests, one after the other: a verdict is on disk before the next request is looked at."""

    def __init__(self, index: Index, reviewed: Reviewed, images: Path, about: dict[str, str]) -> None:
        self.index, self.reviewed, self.images, self.about = index, reviewed, images, about
        self.query = Query(index, reviewed.marks)

    async def page(self, request: Request) -> Response:
        """The page itself; rows are fetched by its script."""
        from jinja2 import Environment, FileSystemLoader
        from starlette.responses import HTMLResponse

        sources = counted(self.index, "source", self.index.sources)
        template = Environment(loader=FileSystemLoader(PAGE), autoescape=True).get_template("page.html")
        return HTMLResponse(
            template.render(
                self.about,
                total=len(self.index),
                sources=list(sources.items())[:SHOWN_SOURCES],
                reasons=counted(self.index, "reason", self.index.reasons),
                verdicts=list(VERDICTS),
                keys=REASONS,
            )
        )

    async def part(self, request: Request) -> Response:
        """The script and the style of the page."""
        from starlette.responses import FileResponse, PlainTextResponse

        kinds = {"css": "text/css", "js": "text/javascript"}
        if (kind := request.path_params["kind"]) not in kinds:
            return PlainTextResponse("no such part", 404)
        return FileResponse(PAGE / f"page.{kind}", media_type=kinds[kind])

    async def rows(self, request: Request) -> Response:
        """A page of the rows that pass a filter, as JSON."""
        asked = request.query_params
        try:
            numbers = {name: _number(asked.get(name), name) for name in ("after", "before", "shortest", "longest")}
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        wanted = Filter(
            asked.get("source"), asked.get("reason"), asked.get("verdict"), numbers["shortest"], numbers["longest"],
            asked.get("text", ""),
        )  # fmt: skip
        page = self.query.page(wanted, ROWS, numbers["after"], numbers["before"])
        rows = zip(page.numbers, self.index.rows(page.numbers), strict=True)
        return _json(
            {"rows": [self._shown(*one) for one in rows], "first": page.first, "total": page.total, "exact": page.exact}
        )

    async def image(self, request: Request) -> Response:
        """The image of a row: a number is asked for and never a path."""
        from starlette.responses import FileResponse, PlainTextResponse

        row = self.index.row(request.path_params["number"])
        found = image_file(self.images, row.image) if row else None
        if found is None:
            return PlainTextResponse("no image", 404)
        return FileResponse(found[0], media_type=found[1])

    async def verdict(self, request: Request) -> Response:
        """Keep a verdict about a row: {row, verdict, reason}, the reason by its key."""
        try:
            asked = orjson.loads(await request.body())
            number, verdict, key = int(asked["row"]), asked["verdict"], asked.get("reason")
            row = self.index.row(number)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return _json({"error": "expected an object with 'row' and 'verdict'"}, 400)
        if row is None or not can_be_judged(row):
            return _json({"error": "no caption to be judged"}, 400)
        if verdict not in ("accepted", "rejected") or key not in ([None] if verdict == "accepted" else list(REASONS)):
            return _json({"error": f"expected 'accepted', or 'rejected' and a reason of {', '.join(REASONS)}"}, 400)
        return self._kept(lambda: self.reviewed.judge(number, row, verdict, key and REASONS[key]), number)

    async def undo(self, request: Request) -> Response:
        """Take the last verdict back."""
        return self._kept(self.reviewed.undo, None)

    def _kept(self, change: Callable[[], int | None], number: int | None) -> Response:
        """Change the verdicts and answer with the row as it is then; an error when that could not be written."""
        try:
            changed = change()
        except UserError as error:
            return _json({"error": str(error)}, 507)
        number = changed if number is None else number
        row = None if number is None else self.index.row(number)
        if number is None or row is None:
            return _json({"error": "no verdict of this session is left to be taken back"}, 409)
        return _json({"row": self._shown(number, row)})

    def _shown(self, number: int, row: Row) -> dict[str, Any]:
        verdict, why = self.reviewed.of(row)
        about = {"gate": row.reason, "source": row.source or "-", "characters": f"{len(row.caption):,}"} | row.about
        return {
            "number": number,
            "image": row.image,
            "caption": row.caption,
            "about": about,
            "can_be_judged": can_be_judged(row),
            "verdict": verdict,
            "why": why,
        }


def _number(text: str | None, name: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 15:
        raise ValueError(f"{name}: expected a number")
    return int(text)


def _json(value: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(orjson.dumps(value), status, media_type="application/json")
