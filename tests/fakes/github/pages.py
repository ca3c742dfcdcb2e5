"""The site's pages."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from tests.fakes.github.world import World


def answer(world: World, path: str) -> Response:
    return PlainTextResponse(f"{path} of {world.html_url}\n", 404)
