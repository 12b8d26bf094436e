"""The site of test_django.py: settings, URL configuration, views and a middleware, for every version of Django."""

import asyncio
import io

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEFAULT_CHARSET="utf-8",
        INSTALLED_APPS=["django.contrib.staticfiles"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", __name__ + ".Kitchen"],
        MIDDLEWARE_CLASSES=["django.middleware.common.CommonMiddleware", __name__ + ".Kitchen"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="x",
        STATIC_URL="/static/",
        USE_TZ=True,
    )
    django.setup()

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse

import gossamer

try:
    from django.urls import include, path, re_path

    USER = "users/<int:pk>"
except ImportError:
    from django.conf.urls import include
    from django.conf.urls import url as re_path

    USER = r"^users/(?P<pk>\d+)$"

    def path(route, view, **kwargs):
        pattern = route.replace("<int:pk>", r"(?P<pk>\d+)").replace("<int:status>", r"(?P<status>\d+)")
        return re_path("^" + pattern + ("" if isinstance(view, (tuple, list)) else "$"), view, **kwargs)


def shown(route):
    """A route of a pattern made with our `path`, as this version has it."""
    if USER[0] != "^":
        return route
    return "^" + route.replace("<int:pk>", r"(?P<pk>\d+)").replace("<int:status>", r"(?P<status>\d+)") + "$"


class Teapot(Exception):
    pass


class Kitchen:
    """A middleware of both styles, with an answer to Teapot."""

    seen = []

    def __init__(self, get_response=None):
        self.get_response = get_response

    def __call__(self, request):
        self.seen.append(gossamer.current_span())
        return self.get_response(request)

    def process_exception(self, request, exception):
        return HttpResponse("handled", status=int(str(exception))) if isinstance(exception, Teapot) else None


def user(request, pk=None):
    with gossamer.trace("load"):
        return HttpResponse("user %s" % pk)


def boom(request):
    raise ValueError("no such cart")


def teapot(request, status):
    raise Teapot(str(status))


def raises(request, status):
    kinds = {"404": Http404, "403": PermissionDenied, "400": SuspiciousOperation}
    if str(status) == "503":
        return HttpResponse(status=503)
    raise kinds[str(status)]("no")


def stream(request):
    def parts():
        for index in range(3):
            with gossamer.trace("part"):
                yield "part %d " % index

    return StreamingHttpResponse(parts())


def broken(request):
    def parts():
        yield "one "
        raise KeyError("two")

    return StreamingHttpResponse(parts())


def file(request):
    return FileResponse(io.BytesIO(b"x" * 10000))


def mine(request):
    gossamer.current_span().resource = "mine"
    return HttpResponse("")


async def coroutine(request):
    with gossamer.trace("load"):
        await asyncio.sleep(0)
        return HttpResponse("async")


async def coroutine_boom(request):
    raise ValueError("no such cart")


async def coroutine_stream(request):
    async def parts():
        for index in range(3):
            with gossamer.trace("part"):
                await asyncio.sleep(0)
                yield b"part %d " % index

    return StreamingHttpResponse(parts())


ITEMS = [path("items/<int:pk>", user, name="item")]
NAMESPACED = include((ITEMS, "shop"), namespace="sale") if USER[0] != "^" else include(ITEMS, namespace="sale")
urlpatterns = [
    path("", user, name="home"),
    path("users/<int:pk>", user, name="user"),
    path("boom", boom),
    path("teapot/<int:status>", teapot),
    path("raises/<int:status>", raises),
    path("stream", stream),
    path("broken", broken),
    path("file", file),
    path("mine", mine),
    path("async", coroutine),
    path("async/boom", coroutine_boom),
    path("async/stream", coroutine_stream),
    path("slash/", user),
    path("shop/", NAMESPACED),
    re_path(r"^old/(?P<pk>[0-9]+)/$", user),
    re_path(r"^deep/", include([re_path(r"^er/", include([re_path(r"^end$", user)]))])),
]
