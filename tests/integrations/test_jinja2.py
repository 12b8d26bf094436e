"""Jinja templates, rendered in every way."""

import asyncio
import inspect

import pytest

pytest.importorskip("jinja2")

import jinja2

import gossamer
from gossamer.testing import capture_spans

TEMPLATES = {
    "page.html": "{% extends 'base.html' %}{% block body %}Hello {{ name }}{% endblock %}",
    "base.html": "<{% block body %}{% endblock %}>{% include 'foot.html' %}",
    "foot.html": "foot",
    "list.html": "{% for item in items %}{{ item }}{% endfor %}",
    "broken.html": "{{ 1 // 0 }}",
    "wrong.html": "{% if %}",
    "call.html": "{{ inner() }}",
}
ASYNC = hasattr(jinja2.Template, "render_async")
needs_async = pytest.mark.skipif(not ASYNC, reason="asynchronous rendering is new in Jinja 2.9")


@pytest.fixture(autouse=True)
def patched():
    gossamer.patch("jinja2")
    yield
    gossamer.unpatch("jinja2")


@pytest.fixture
def spans():
    with capture_spans() as found:
        yield found


@pytest.fixture
def environment():
    return jinja2.Environment(loader=jinja2.DictLoader(TEMPLATES))


def listed(spans):
    return [(span.name, span.resource) for span in spans]


def test_a_page(spans, environment):
    with gossamer.trace("request") as request:
        text = environment.get_template("page.html").render(name="Ada")
    assert text == "<Hello Ada>foot"
    assert listed(spans) == [
        ("jinja2.compile", "page.html"),
        ("jinja2.load", "page.html"),
        ("jinja2.compile", "base.html"),
        ("jinja2.load", "base.html"),
        ("jinja2.compile", "foot.html"),
        ("jinja2.load", "foot.html"),
        ("jinja2.render", "page.html"),
        ("request", None),
    ]
    render, load = spans.one("jinja2.render"), spans.one("jinja2.load", resource="base.html")
    assert (render.service, render.type, render.kind, render.integration) == (None, "template", "internal", "jinja2")
    assert render.attributes == {"jinja2.template_name": "page.html"}
    assert render.parent_id == request.span_id and load.parent_id == render.span_id
    assert spans.one("jinja2.compile", resource="base.html").parent_id == load.span_id


def test_a_template_in_the_cache_is_not_loaded_again(spans, environment):
    for _ in range(3):
        environment.get_template("list.html").render(items=[])
    assert [name for name, _ in listed(spans)] == ["jinja2.compile", "jinja2.load"] + ["jinja2.render"] * 3


@pytest.mark.parametrize("cache_size", [0, -1])
def test_without_a_bounded_cache(spans, cache_size):
    environment = jinja2.Environment(loader=jinja2.DictLoader(TEMPLATES), cache_size=cache_size)
    for _ in range(2):
        environment.get_template("foot.html")
    assert len(spans.find("jinja2.load")) == (2 if cache_size == 0 else 1)


def test_the_path_of_a_file(spans, tmp_path):
    (tmp_path / "a.html").write_text("a")
    jinja2.Environment(loader=jinja2.FileSystemLoader(str(tmp_path))).get_template("a.html")
    assert spans.one("jinja2.load").attributes["jinja2.template_path"] == str(tmp_path / "a.html")


def test_a_template_of_a_string(spans, environment):
    assert environment.from_string("{{ 1 + 1 }}").render() == "2"
    assert listed(spans) == [("jinja2.compile", "<memory>"), ("jinja2.render", "<memory>")]


@pytest.mark.parametrize("way", ["generate", "stream"])
def test_parts(spans, environment, way):
    template = environment.get_template("list.html")
    spans.clear()

    def items():
        for item in "abc":
            with gossamer.trace("item"):
                yield item

    with gossamer.trace("request") as request:
        text = ""
        for part in getattr(template, way)(items=items()):
            text += part
            assert gossamer.current_span() is request
            assert not spans.find("jinja2.render")
    assert text == "abc"
    render = spans.one("jinja2.render")
    assert render.parent_id == request.span_id
    assert [item.parent_id for item in spans.find("item")] == [render.span_id] * 3


def test_parts_that_are_not_wanted(spans, environment):
    parts = environment.get_template("list.html").generate(items="abc")
    assert next(parts) == "a"
    assert not spans.find("jinja2.render")
    parts.close()
    assert not spans.one("jinja2.render").error


@pytest.mark.parametrize("render", [lambda t: t.render(), lambda t: list(t.generate())], ids=["render", "generate"])
def test_an_exception(spans, environment, render):
    template = environment.get_template("broken.html")
    with pytest.raises(ZeroDivisionError):
        render(template)
    span = spans.one("jinja2.render")
    assert span.error and span.events[0].attributes["exception.type"] == "ZeroDivisionError"


def test_a_syntax_error(spans, environment):
    with pytest.raises(jinja2.TemplateSyntaxError):
        environment.get_template("wrong.html")
    assert spans.one("jinja2.compile").error and spans.one("jinja2.load").error


def test_a_template_that_is_not_there(spans, environment):
    with pytest.raises(jinja2.TemplateNotFound):
        environment.get_template("none.html")
    span = spans.one("jinja2.load")
    assert span.error and span.resource == "none.html"


def test_a_template_that_renders_another(spans, environment):
    inner = environment.get_template("foot.html")
    assert environment.get_template("call.html").render(inner=inner.render) == "foot"
    outer = spans.one("jinja2.render", resource="call.html")
    assert spans.one("jinja2.render", resource="foot.html").parent_id == outer.span_id


@pytest.fixture
def asynchronous():
    return jinja2.Environment(loader=jinja2.DictLoader(TEMPLATES), enable_async=True)


@needs_async
@pytest.mark.skipif(
    jinja2.__version__.startswith("2.11"), reason="Jinja 2.11 exchanges the methods with the first such environment"
)
def test_asynchronous_rendering(spans, asynchronous):
    async def name():
        with gossamer.trace("name"):
            await asyncio.sleep(0)
            return "Ada"

    async def main():
        template = asynchronous.get_template("page.html")
        assert await template.render_async(name=await name()) == "<Hello Ada>foot"
        parts = [part async for part in asynchronous.get_template("list.html").generate_async(items="abc")]
        assert parts == ["a", "b", "c"]

    asyncio.run(main())
    assert [span.resource for span in spans.find("jinja2.render")] == ["page.html", "list.html"]


@needs_async
@pytest.mark.skipif(jinja2.__version__.startswith("2.11"), reason="as above")
def test_synchronous_rendering_in_an_asynchronous_environment(spans, asynchronous):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert asynchronous.get_template("list.html").render(items="abc") == "abc"
        assert list(asynchronous.get_template("list.html").generate(items="abc")) == ["a", "b", "c"]
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert len(spans.find("jinja2.render")) == 2


@needs_async
@pytest.mark.skipif(jinja2.__version__.startswith("2.11"), reason="as above")
def test_an_exception_of_an_asynchronous_template(spans, asynchronous):
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asynchronous.get_template("broken.html").render_async())
    assert spans.one("jinja2.render").error


HOOKED = (
    (jinja2.Template, "render"),
    (jinja2.Template, "generate"),
    (jinja2.Environment, "compile"),
    (jinja2.Environment, "_load_template"),
)


def test_the_library_looks_as_before():
    gossamer.unpatch("jinja2")
    originals = [vars(owner)[name] for owner, name in HOOKED]
    gossamer.patch("jinja2")
    for (owner, name), original in zip(HOOKED, originals):
        wrapped = vars(owner)[name]
        assert wrapped is not original and wrapped.__wrapped__ is original
        assert inspect.signature(wrapped) == inspect.signature(original)
        assert inspect.isgeneratorfunction(wrapped) == inspect.isgeneratorfunction(original)


def test_patched_twice_is_once_and_unpatched_is_none(spans, environment):
    gossamer.patch("jinja2")
    template = environment.get_template("foot.html")
    template.render()
    assert len(spans.find("jinja2.render")) == 1
    gossamer.unpatch("jinja2")
    assert template.render() == "foot"
    assert len(spans.find("jinja2.render")) == 1


def test_disabled(spans, environment, monkeypatch):
    monkeypatch.setattr(gossamer.tracer.recorder, "enabled", False)
    assert environment.get_template("foot.html").render() == "foot"
    assert not spans
