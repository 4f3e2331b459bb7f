"""The page of the preference study for people: an image, two captions, a choice by the keyboard (paper Table 2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from sharegpt4v.caption_quality.people import CHOICES, Study
from sharegpt4v.errors import UserError
from sharegpt4v.report.review.images import image_file
from sharegpt4v.report.review.loopback import behind

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = Path(__file__).parent / "page"
PARTS = {"study.js": "text/javascript", "page.css": "text/css"}


def application(study: Study, images: Path, notice: str, secret: str) -> Starlette:
    """Return the server as an ASGI application; the page is at `/SECRET/`."""
    from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route

    def state() -> Response:
        number = study.next()
        shown: dict[str, Any] = {"pair": number, "count": len(study.pairs)}
        if number is not None:
            shown["first"], shown["second"] = study.shown(number)
        return Response(orjson.dumps(shown), media_type="application/json")

    async def page(request: Request) -> Response:
        from jinja2 import Environment, FileSystemLoader

        template = Environment(loader=FileSystemLoader(PAGE), autoescape=True).get_template("study.html")
        return HTMLResponse(template.render(notice=notice, person=study.person))

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        return FileResponse(PAGE / name, media_type=PARTS[name]) if name in PARTS else PlainTextResponse("none", 404)

    async def pair(request: Request) -> Response:
        return state()

    async def image(request: Request) -> Response:
        number = request.path_params["number"]
        found = image_file(images, study.pairs[number].image) if number < len(study.pairs) else None
        return FileResponse(found[0], media_type=found[1]) if found else PlainTextResponse("no image", 404)

    async def choose(request: Request) -> Response:
        try:
            asked = orjson.loads(await request.body())
            number, choice = asked["pair"], asked["choice"]
            if choice == "undo":
                study.undo()
            elif choice in CHOICES and isinstance(number, int) and 0 <= number < len(study.pairs):
                study.choose(number, choice)
            else:
                raise ValueError(choice)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return PlainTextResponse(f"expected 'pair' and a 'choice' of {', '.join(CHOICES)} or undo", 400)
        except UserError as error:
            return PlainTextResponse(str(error), 507)
        return state()

    routes = [
        Route("/", page),
        Route("/pair", pair),
        Route("/image/{number:int}", image),
        Route("/choose", choose, methods=["POST"]),
        Route("/{name}", part),
    ]
    return behind(secret, routes)
