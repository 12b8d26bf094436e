"""What else Python does with objects: weak references, copies, subclasses. On both cores."""

from __future__ import annotations

import copy
import gc
import importlib
import pickle
import weakref

import pytest


@pytest.fixture(params=["pure", "native"])
def core(request):
    try:
        module = importlib.import_module("gossamer._core." + request.param)
    except ImportError as error:
        request.getfixturevalue("native")
        raise error
    module.set_active(None)
    yield module
    module.set_active(None)


@pytest.fixture
def recorder(core):
    return core.Recorder(core.Buffer())


def names(recorder):
    return [[span.name for span in chunk.spans] for chunk in recorder.buffer.swap() or ()]


def test_weak_references(core, recorder):
    gone = []
    gc.disable()
    try:
        span = recorder.start("x", parent=None)
        other = weakref.WeakKeyDictionary({span: 1})
        weakref.finalize(span, gone.append, "finalize")
        reference = weakref.ref(span, lambda ref: gone.append(recorder.start("in a callback", parent=None).finish()))
        assert reference() is span
        span.finish()
        core.set_active(None)
        recorder.buffer.clear()
        del span
        assert reference() is None and not other and gone == [None, "finalize"]
        assert names(recorder) == [["in a callback"]]
    finally:
        gc.enable()


@pytest.mark.parametrize("what", ["span", "trace"])
def test_copies_are_the_same_object(core, recorder, what):
    """Programs copy objects to which a span was attached (a request): that must neither fail nor copy the tracer."""
    span = recorder.start("x")
    found = span if what == "span" else span.trace
    assert copy.copy(found) is found and copy.deepcopy({"span": [found]})["span"][0] is found


@pytest.mark.parametrize("what", ["span", "trace"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_says_why_not(core, recorder, what, protocol):
    span = recorder.start("x")
    found = span if what == "span" else span.trace
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(found, protocol)


def test_a_context_can_be_pickled(core, recorder):
    span = recorder.start("x")
    span.set_baggage("a", "b")
    context = pickle.loads(pickle.dumps(span.context))
    assert (context.trace_id, context.span_id, context.baggage) == (span.trace_id, span.span_id, {"a": "b"})


def test_subclasses(core, recorder):
    class Own(core.Span):
        def __init__(self, *args, **facts):
            super().__init__(*args, **facts)
            self.mine = 5

        def set_attribute(self, key, value):
            super().set_attribute("own." + key, value)

    gc.disable()
    try:
        with Own(recorder, "own", resource="r", attributes={"a": 1}) as span:
            assert core.current_span() is span and span.mine == 5
            span.set_attribute("k", "v")
            with recorder.start("child") as child:
                assert child.parent is span and child.local_root is span
                child.add_link(span)
            with Own(recorder, "below"):
                pass
        reference = weakref.ref(span)
        (chunk,) = recorder.buffer.swap()
        assert [each.name for each in chunk.spans] == ["child", "below", "own"]
        assert chunk.spans[-1].attributes == {"a": 1, "own.k": "v"}
        assert chunk.spans[0].links[0].context.span_id == span.span_id
        core.set_active(None)
        del span, child, chunk
        assert reference() is None
    finally:
        gc.enable()


def test_subclasses_in_cycles(core, recorder):
    class Own(core.Span):
        pass

    with Own(recorder, "own") as span:
        span.me = span
    reference = weakref.ref(span)
    core.set_active(None)
    recorder.buffer.clear()
    del span
    gc.collect()
    assert reference() is None


def test_fields_take_what_a_program_gives_or_say_why_not(core, recorder):
    span = recorder.start("x")
    for name in ("name", "resource", "service", "type", "kind", "integration", "layer", "status_message", "baggage"):
        for value in (None, 5, "x", b"x", ["x"], object()):
            setattr(span, name, value)
    span.error = "yes"
    span.attributes = {"k": "v", 5: 6, "n": None, "o": object()}
    span.finish()
    with recorder.start("next", parent=None):
        pass
    found = names(recorder)
    assert found[-1] == ["next"] and len(found) + recorder.buffer.dropped_spans == 2


def test_comparing_hashing_printing(core, recorder):
    one, other = recorder.start("one"), recorder.start("other")
    assert one == one and one != other and len({one, other, one}) == 2
    assert "one" in repr(one) and "not begun" in repr(core.Span(recorder, "x"))
    with pytest.raises(AttributeError):
        one.unknown = 5


def test_a_span_that_has_not_begun(core, recorder):
    span = core.Span(recorder, "x")
    span.finish()
    span.detach()
    span.set_attribute("k", "v")
    span.set_attribute("manual.keep", True)
    span.add_event("e")
    span.set_error("broken")
    span.set_baggage("k", "v")
    assert (span.span_id, span.trace_id, span.start_time, span.duration) == (0, 0, 0, None)
    assert span.context.trace_id == 0 and span.recording and not span.live
    assert recorder.buffer.swap() is None
    with span:
        pass
    ((found,),) = [chunk.spans for chunk in recorder.buffer.swap()]
    assert found.attributes == {"k": "v", "manual.keep": True} and found.error
