"""Fuzz targets: configuration texts, values, arguments, and bytes on the admin socket.

Whatever comes in, only the documented errors come out, in bounded time: ConfSyntaxError for a text,
BadValue for a value, UsageError for arguments, InvalidArgument for a request. What parses is what
is printed, read once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.conf.admin_builtin import Version, register_builtin
from spirula.conf.admin_commands import CommandTable, RequestReader, parse_request, parse_signature
from spirula.conf.args import UsageError, inject_args, parse_argv, parse_early
from spirula.conf.config import Config
from spirula.conf.expand import MAX_EXPANDED
from spirula.conf.file import ConfSyntaxError, parse_conf
from spirula.conf.formatter import FORMATS, render
from spirula.conf.log import Log
from spirula.conf.options import schema
from spirula.conf.perf import PerfCollection
from spirula.conf.subsys import parse_levels
from spirula.conf.values import BadValue, OptionType, parse_value, to_text
from spirula.errors import InvalidArgument

PIECES = st.one_of(
    st.sampled_from(
        ["[", "]", "=", "#", ";", "\\", '"', "'", "\n", "\r", " ", "\t", "$", "${", "}"]
    ),
    st.sampled_from(["[global]\n", "\\\n", "mon host", "osd_data = $osd_data\n", "[osd]\n", "\0"]),
    st.text(max_size=5),
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)
NAMES = st.sampled_from(sorted(schema()))
VALUES = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[ +-]?[0-9.:/\[\],a-fx-]{1,30}[KMGTPEBi ]{0,2}", fullmatch=True),
    st.from_regex(
        r"(v[12]:|any:)?\[?[0-9a-f.:]{1,20}\]?(:[0-9]{1,6})?(/[0-9]{1,20})?", fullmatch=True
    ),
    st.from_regex(r"([0-9]{1,25} ?[a-z]{0,7} ?){1,3}", fullmatch=True),
)


@given(
    st.one_of(st.binary(max_size=200), TEXTS, TEXTS.map(lambda text: "[global]\n" + text + "\n"))
)
def test_any_text_is_a_configuration_or_a_syntax_error(data):
    try:
        conf = parse_conf(data)
    except ConfSyntaxError as refused:
        error = refused
    else:
        error = None
    if error is not None:
        assert min(error.line, error.column) >= 1
        return
    config = Config(daemon=True)
    config.set_file(conf)
    for section in conf.sections.values():
        for name in section:
            value = config.lookup_file(name, conf.sections)
            assert value is not None
            assert len(value) <= 2 * MAX_EXPANDED


@given(st.sampled_from(OptionType), VALUES)
def test_any_value_is_taken_or_refused(kind, text):
    try:
        value = parse_value(kind, text)
    except BadValue:
        return
    if kind is not OptionType.FLOAT:  # those are printed with six digits
        printed = to_text(value)
        assert parse_value(kind, printed) == value


@given(st.text(max_size=12))
def test_any_level_is_taken_or_refused(text):
    with contextlib.suppress(BadValue):
        assert all(0 <= level <= 99 for level in parse_levels(text))


WORDS = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.builds("--{}={}".format, NAMES, VALUES),
        st.builds("--{}".format, NAMES),
        st.builds("--no-{}".format, NAMES),
        st.sampled_from(["-c", "-n", "-i", "--", "-d", "-f", "-m", "-k", "-K", "--id", "--bind"]),
        VALUES,
    ),
    max_size=8,
)


@given(WORDS, st.sampled_from(["client", "osd"]))
def test_any_arguments_are_understood_left_over_or_refused(words, entity_type):
    try:
        early = parse_early(words, entity_type)
        parsed = parse_argv(Config(daemon=True), early.rest)
    except (UsageError, BadValue):
        return
    assert len(parsed.rest) <= len(words)


@given(TEXTS)
def test_any_injected_arguments_are_understood_or_refused(text):
    config = Config(daemon=True)
    config.start()
    good, told = inject_args(config, text)
    assert good or told


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=6), TEXTS)
def test_any_metavariables_expand(settings, text):
    config = Config()
    for name, value in settings:
        if schema()[name].type is OptionType.STR and not schema()[name].enum_values:
            try:
                config.set(name, value)
            except BadValue:
                continue
    assert len(config.expand(text)) <= 2 * MAX_EXPANDED
    for name, _ in settings:
        config.get(name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def table():
    made = CommandTable()
    register_builtin(
        made,
        config=Config(daemon=True),
        log=Log(lambda: 0.0, lambda: 1),
        perf=PerfCollection(),
        version=Version("1", "x"),
    )
    return made


REQUESTS = st.fixed_dictionaries(
    {
        "prefix": st.sampled_from(
            ["config get", "config set", "config unset", "config help", "perf reset", "injectargs"]
        )
    },
    optional={
        "var": st.one_of(NAMES, st.text(max_size=5), JSON),
        "val": st.one_of(st.lists(st.text(max_size=5), max_size=2), JSON),
        "injected_args": st.lists(st.text(max_size=9), max_size=3),
        "format": st.one_of(st.sampled_from(FORMATS), JSON),
    },
)


@given(st.one_of(st.text(max_size=60), JSON.map(json.dumps), REQUESTS.map(json.dumps)))
def test_any_request_is_answered(table, text):
    outcome = asyncio.run(table.execute(text))
    assert outcome.errno <= 0
    if outcome.errno == 0:
        assert outcome.for_socket() == outcome.output
    else:
        assert outcome.for_socket().startswith(b"ERROR: (")


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_any_bytes_make_a_request_or_wait(chunks):
    reader = RequestReader()
    for chunk in chunks:
        request = reader.feed(chunk)
        if request is not None:
            with contextlib.suppress(InvalidArgument):
                assert isinstance(parse_request(request), dict)
            return
    assert len(reader.buffer) == sum(map(len, chunks))


@given(st.text(alphabet="ab ,=ntypeameCphI|", max_size=40))
def test_any_signature_is_taken_or_refused(text):
    with contextlib.suppress(InvalidArgument):
        assert parse_signature(text).prefix


@given(JSON, st.sampled_from(FORMATS))
def test_any_document_is_printed(document, fmt):
    text = render(document, fmt, "top")
    if fmt.startswith("json") and not any(word in text for word in ("inf", "nan")):
        assert json.loads(text, strict=False) is not None or document is None
