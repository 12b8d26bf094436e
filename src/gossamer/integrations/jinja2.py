"""Jinja: templates that are rendered, compiled and loaded."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from gossamer.instrument import Fields, Span

jinja2 = Integration(
    "jinja2",
    packages={"jinja2": ">=2.7"},
    title="Jinja2",
    category="library",
    docs="https://jinja.palletsprojects.com",
    page=(">= 2.7", True),
    notes="Of Jinja 2.11, asynchronous environments have no `jinja2.render`.",
)

_RENDER = "jinja2.render"
_NAME = "jinja2.template_name"


def _start(operation: str, name: Any) -> Fields:
    name = name if isinstance(name, str) else "<memory>"
    return operation, name, None, "template", "internal", {_NAME: name}, None


# The package, not `jinja2.environment`: Jinja 2.9 to 2.11 exchange these methods when all of it is imported.
@jinja2.trace("jinja2:Template.render")
@jinja2.trace("jinja2:Template.render_async", ">=2.9")
@jinja2.trace("jinja2:Template.generate", returns="iterator")
@jinja2.trace("jinja2:Template.generate_async", ">=2.9")
def render(call: Call) -> Optional[Fields]:
    """A template as text, at once or in parts. In an asynchronous environment one way of it calls another."""
    start = _start(_RENDER, call.instance.name)
    outer: Any = active()
    if outer is not None and getattr(outer, "name", None) == _RENDER and outer.resource == start[1]:
        return None
    return start


@jinja2.trace("jinja2:Environment.compile")
def compile(call: Call) -> Fields:
    """The source of a template becomes code."""
    return _start("jinja2.compile", call.argument(1, "name") or call.argument(2, "filename"))


def loaded(call: Call, template: Any) -> None:
    """Where the template was found."""
    path = getattr(template, "filename", None)
    if path:
        span: Span = call.span
        span.set_attribute("jinja2.template_path", path)


@jinja2.trace("jinja2:Environment._load_template", after=loaded)
def load(call: Call) -> Optional[Fields]:
    """A template is looked for. One from the cache has no span, else an include in a loop had a thousand."""
    name = call.argument(0, "name")
    return None if _cached(call.instance, name) else _start("jinja2.load", name)


def _cached(environment: Any, name: Any) -> bool:
    cache = environment.cache
    if cache is None or environment.loader is None:
        return False
    from weakref import ref

    # The key has the loader in it since 2.8.
    return (ref(environment.loader), name) in cache or name in cache
