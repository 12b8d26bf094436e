"""logging: records carry the ids of the trace, under Datadog's and OpenTelemetry's names."""

from __future__ import annotations

import copy
import io
import logging
import pickle

import pytest

import gossamer

NAMES = (
    "dd.trace_id", "dd.span_id", "dd.service", "dd.env", "dd.version",
    "otelTraceID", "otelSpanID", "otelServiceName", "otelTraceSampled",
)  # fmt: skip


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("logging")


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def logger():
    logger = logging.Logger("test")
    logger.addHandler(Keep())
    return logger


def last(logger):
    return logger.handlers[0].records[-1]


def test_ids_of_the_active_span(logger, spans):
    with gossamer.trace("outer") as span:
        logger.info("hello")
    said = {name: last(logger).__dict__[name] for name in NAMES}
    assert said == {
        "dd.trace_id": "%032x" % span.trace.trace_id,
        "dd.span_id": str(span.span_id),
        "dd.service": gossamer.settings.service,
        "dd.env": "",
        "dd.version": "",
        "otelTraceID": "%032x" % span.trace.trace_id,
        "otelSpanID": "%016x" % span.span_id,
        "otelServiceName": gossamer.settings.service,
        "otelTraceSampled": True,
    }


def test_each_span_has_its_own(logger, spans):
    with gossamer.trace("outer") as outer:
        logger.info("a")
        with gossamer.trace("inner") as inner:
            logger.info("b")
        logger.info("c")
    logger.info("d")
    found = [record.__dict__["dd.span_id"] for record in logger.handlers[0].records]
    assert found == [str(outer.span_id), str(inner.span_id), str(outer.span_id), "0"]


def test_without_a_span(logger, spans):
    logger.info("hello")
    assert [last(logger).__dict__[name] for name in ("dd.trace_id", "dd.span_id", "otelTraceID")] == ["0"] * 3
    assert last(logger).otelTraceSampled is False


def test_under_a_remote_context(logger, spans):
    context = gossamer.SpanContext(0xABC << 64 | 0xDEF, 0x123, priority=-1)
    with gossamer.activate(context):
        logger.info("hello")
    assert last(logger).otelTraceID == "%032x" % context.trace_id and last(logger).otelSpanID == "%016x" % 0x123
    assert last(logger).otelTraceSampled is False


def test_a_decision_to_drop_shows(logger, spans):
    with gossamer.trace("outer") as span:
        logger.info("before")
        assert last(logger).otelTraceSampled is True
        span.set_attribute("manual.drop", True)
        logger.info("after")
    assert last(logger).otelTraceSampled is False


def test_formats(spans):
    for style, text in (
        ("%", "%(message)s %(dd.trace_id)s %(otelSpanID)s %(otelTraceSampled)s"),
        ("{", "{message} {otelTraceID} {otelSpanID} {otelTraceSampled}"),
    ):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(text, style=style))
        logger = logging.Logger("test")
        logger.addHandler(handler)
        with gossamer.trace("outer") as span:
            logger.warning("hi %s", "there")
        assert stream.getvalue() == "hi there %032x %016x True\n" % (span.trace.trace_id, span.span_id)


def test_what_the_program_sets_is_kept(logger, spans):
    with gossamer.trace("outer") as span:
        logger.info("hello", extra={"dd.service": "mine", "otelTraceID": 5, "other": 1})
    record = last(logger)
    assert record.__dict__["dd.service"] == "mine" and record.otelTraceID == 5 and record.other == 1
    assert record.__dict__["dd.span_id"] == str(span.span_id)


def test_a_factory_of_the_program_is_respected(logger, spans):
    class Record(logging.LogRecord):
        pass

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **kwargs: Record(*args, **kwargs))
    try:
        with gossamer.trace("outer") as span:
            logger.info("hello")
    finally:
        logging.setLogRecordFactory(before)
    assert type(last(logger)) is Record and last(logger).otelSpanID == "%016x" % span.span_id


def test_records_travel(logger, spans):
    with gossamer.trace("outer") as span:
        logger.info("hello")
        sent = pickle.dumps(last(logger).__dict__)
    with gossamer.trace("elsewhere"):
        record = logging.makeLogRecord(pickle.loads(sent))
    assert record.otelSpanID == "%016x" % span.span_id
    assert {type(record.__dict__[name]) for name in NAMES} == {str, bool}
    assert copy.copy(record).__dict__ == record.__dict__


def test_no_record_for_what_nobody_hears(logger, spans):
    logger.setLevel(logging.ERROR)
    logger.info("hello")
    assert logger.handlers[0].records == [] and len(spans) == 0


def test_exceptions_and_positions_as_ever(logger, spans):
    with gossamer.trace("outer"):
        try:
            raise ValueError("mine")
        except ValueError:
            logger.exception("failed")
    record = last(logger)
    assert record.exc_info[0] is ValueError and record.funcName == "test_exceptions_and_positions_as_ever"
    assert record.filename == "test_logging.py"


def test_unpatched(logger, spans):
    gossamer.unpatch("logging")
    with gossamer.trace("outer"):
        logger.info("hello")
    assert not set(NAMES) & set(last(logger).__dict__)
