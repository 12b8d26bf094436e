"""Requests and websockets to Starlette applications: one span each, named by the whole route through all mounts."""

from __future__ import annotations

from gossamer.instrument import Integration, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

starlette = Integration(
    "starlette",
    packages={"starlette": ">=0.13"},
    title="Starlette",
    category="web",
    docs="https://www.starlette.io",
    page=(">= 0.13.0", True),
)


@starlette.asgi("starlette.applications:Starlette.__call__", operation="starlette.request", details=False)
def request(span: Span, scope: Dict[str, Any]) -> None:
    """Nothing to add at the end: the routes have told their paths."""


@starlette.asgi("starlette.routing:Route.handle", route=True)
@starlette.asgi("starlette.routing:WebSocketRoute.handle", route=True)
@starlette.asgi("starlette.routing:Mount.handle", route=True)
def routed(scope: Dict[str, Any], route: Any) -> str:
    """A router chose this route or mount."""
    return route.path  # type: ignore[no-any-return]
