"""Delivered CSV files: what they say is what is read, and what cannot be read so is refused by name."""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pydantic import ValidationError

from airflow_mlops_provider.backends.tables.column_types import frame_schema
from airflow_mlops_provider.backends.tables.delivered import read
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.source import Source

COLUMNS = {"shop": "string", "amount": "float64", "returned": "int64", "open": "bool", "at": "timestamp"}
HEADER = "shop,amount,returned,open,at\n"
AT = "2024-01-01T08:00:00Z"
GOOD = f"north,1.5,1,true,{AT}\n"
WHERE = "file:///landing/sales/2024-01-01.csv"


def rows(**values: Any) -> str:
    """Return a delivery of three records, the third of which has some values of its own."""
    usual = {"shop": "north", "amount": "1.5", "returned": "1", "open": "true", "at": AT}
    file = io.StringIO()
    writer = csv.DictWriter(file, list(usual), lineterminator="\n")
    writer.writeheader()
    writer.writerows([usual, usual, usual | values])
    return file.getvalue()


def table(delivery: str | bytes, **declared: Any) -> pd.DataFrame:
    """Return a delivery's columns as declared."""
    source = Source(**{"name": "sales", "path": "sales.csv", "columns": COLUMNS, "time": "at", **declared})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "delivered"
        file.write_bytes(delivery.encode() if isinstance(delivery, str) else delivery)
        schema = frame_schema(source.columns)
        parts = [part.cast(schema) for part in read(file, WHERE, source)]
    return (pa.concat_tables(parts) if parts else schema.empty_table()).to_pandas()


def refused(delivery: str | bytes, **declared: Any) -> str:
    """Return why a delivery is refused; no retry helps."""
    with pytest.raises(SourceDataError) as told:
        table(delivery, **declared)
    assert not told.value.retryable
    assert len(str(told.value)) < 700
    return str(told.value)


TEXTS = [
    "NA",
    "None",
    "null",
    "n/a",
    "nan",
    "-",
    "#N/A",
    "NULL",
    "<NA>",
    " ",
    "0",
    "NaT",
    'say "hi"',
    "a,b",
    "two\nlines",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_means_what_it_says(text: str) -> None:
    """What looks missing to others is a value of a text column."""
    assert table(rows(shop=text))["shop"].tolist() == ["north", "north", text]


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "at"])
@pytest.mark.parametrize("field", ["", '""'], ids=["empty", "quoted"])
def test_an_empty_field_is_missing(column: str, field: str) -> None:
    """An empty field is a missing value of any type, quoted or not."""
    found = table(rows(**{column: "EMPTY"}).replace("EMPTY", field))
    assert found[column].isna().tolist() == [False, False, True]


def test_a_text_that_means_missing_is_declared() -> None:
    """A declared text is missing in every column, and only that one."""
    delivery = rows(shop="NA", amount="?", returned="NA") + GOOD.replace("north", "n/a")
    found = table(delivery, missing=("NA", "?"))
    assert found["shop"].tolist()[2:] == [pd.NA, "n/a"]
    assert found[["amount", "returned"]].iloc[2].isna().all()


VALUES = {
    "the largest whole number": ("returned", "9223372036854775807", 2**63 - 1),
    "the smallest whole number": ("returned", "-9223372036854775808", -(2**63)),
    "beyond what floats hold exactly": ("returned", "9007199254740993", 2**53 + 1),
    "a whole number as pandas writes it": ("returned", "5.0", 5),
    "a sign and blanks": ("returned", " +7 ", 7),
    "leading zeros": ("returned", "007", 7),
    "an exponent": ("amount", "-2.5e3", -2500.0),
    "every digit": ("amount", "10.357019999999999", 10.357019999999999),
    "more digits than a float has": ("amount", "123456789012345678901234567890", 1.2345678901234568e29),
    "no leading digit": ("amount", ".5", 0.5),
    "true": ("open", "TRUE", True),
    "nought": ("open", "0", False),
    "zeros kept in text": ("shop", "007", "007"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_exact(name: str) -> None:
    """Numbers and truth values are what they were written as."""
    column, text, value = VALUES[name]
    assert table(rows(**{column: text}))[column].iloc[2] == value


WRONG = {
    "above": ("returned", "9223372036854775808", "int64; correct it, or declare the column string"),
    "below": ("returned", "-9223372036854775809", "int64; .*string"),
    "huge": ("returned", "1" * 5000, "int64; .*string"),
    "exponent": ("returned", "1e20", "int64; .*float64"),
    "fraction": ("returned", "1.5", "int64; .*float64"),
    "thousands": ("returned", "1,000", "int64; .*string"),
    "hexadecimal": ("returned", "0x1F", "int64; .*string"),
    "underscore": ("returned", "1_000", "int64; .*string"),
    "word": ("returned", "NA", r"int64; .*missing=\('NA',\)"),
    "blank": ("returned", " ", "int64"),
    "other digits": ("returned", "٣", "int64"),
    "too much": ("amount", "1e999", "float64; .*string"),
    "infinite": ("amount", "inf", "float64"),
    "not a number": ("amount", "nan", r"float64; .*missing=\('nan',\)"),
    "comma": ("amount", "1,5", "float64; .*string"),
    "currency": ("amount", "$5", "float64"),
    "yes": ("open", "yes", "bool"),
    "two": ("open", "2", "bool; .*string"),
    "t": ("open", "t", "bool"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_another_type_is_refused(name: str) -> None:
    """File, record, column and value are named, with what would hold it."""
    column, text, said = WRONG[name]
    where = re.escape(f"{WHERE}: record 3, column {column!r}: {text[:80]!r}")
    assert re.search(rf"{where} is no {said}", refused(rows(**{column: text})))


RAGGED = {
    "one too many in each": (HEADER + GOOD.replace("\n", ",\n") * 3, "record 1 has 6 fields, and the header 5"),
    "one too many in one": (HEADER + GOOD + GOOD.replace("north", "north,south") + GOOD, "record 2 has 6 fields"),
    "too few in each": (HEADER + "north,1.5,1,true\n" * 3, "record 1 has 4 fields"),
    "too few in the last": (HEADER + GOOD * 2 + "north,1.5\n", "record 3 has 2 fields"),
    "after lines in quotes": (HEADER + GOOD.replace("north", '"a\nb"') + "\n\nnorth\n", "record 2 has 1 fields"),
    "in the header": (HEADER.replace("\n", ",\n") + GOOD, "record 1 has 5 fields, and the header 6"),
    "blanks": (HEADER + GOOD + "  \n", "record 2 has 1 fields"),
    "text after quotes": (HEADER + GOOD.replace("north", '"north"east'), "record 1: .*expected after"),
    "cut": (HEADER + GOOD + "north,1.", "breaks off in the middle of its last line: record 2 has 2 fields"),
    "cut in quotes": (HEADER + GOOD + '"nor', "record 2: it breaks off inside quotes"),
    "cut in the header": ('shop,"amou', "the header: it breaks off inside quotes"),
    "cut after a quoted line": (HEADER + GOOD + '"nor\nth,1.5,1,true,2024-01-01\n', "record 2: it breaks off inside"),
}


@pytest.mark.parametrize("name", RAGGED)
def test_a_record_with_other_fields_than_the_header_is_refused(name: str) -> None:
    """Too many or too few fields are refused by file and record, with how many there are and should be."""
    delivery, said = RAGGED[name]
    assert re.search(rf"{WHERE}.*{said}", refused(delivery))


LAST = {"shop": "string", "amount": "float64", "at": "timestamp", "note": "string"}
WHOLE = {
    "a quoted end with a line break, unended": f'shop,amount,at,note\nnorth,1,{AT},"two\nlines"',
    "Windows' line ends": f'shop,amount,at,note\r\nnorth,1,{AT},"two\nlines"\r\n',
    "a byte order mark": f'\ufeffshop,amount,at,note\nnorth,1,{AT},"two\nlines"\n',
    "other columns and order": f'x,note,at,amount,shop,x\n,"two\nlines",{AT},1,north,\n',
    "empty lines": f'shop,amount,at,note\n\nnorth,1,{AT},"two\nlines"\n\n\n',
    "everything in quotes": f'"shop","amount","at","note"\n"north","1","{AT}","two\nlines"\n',
}


@pytest.mark.parametrize("name", WHOLE)
def test_one_table_in_many_shapes(name: str) -> None:
    """Line ends, byte order marks, quotes, other columns and empty lines make no difference."""
    found = table(WHOLE[name].encode(), columns=LAST)
    at = pd.Timestamp(AT)
    assert found.to_dict("records") == [{"shop": "north", "amount": 1.0, "at": at, "note": "two\nlines"}]


def test_text_that_begins_like_another_format_is_text() -> None:
    """A column may be named as the first bytes of another format."""
    for name in ("PAR1", "ORCHARD", "PK", "BZh9", "%PDF"):
        assert table(f"{name},shop\n1,north\n", columns={name: "int64", "shop": "string"}, time=None)[name][0] == 1


def test_quotes_inside_text_stay() -> None:
    """A lone quote in the middle of a field, and doubled ones in a quoted field, are text."""
    found = table(HEADER + GOOD.replace("north", '5" pipe') + GOOD.replace("north", '"say ""hi"""'))
    assert found["shop"].tolist() == ['5" pipe', 'say "hi"']


HEADERS = {
    "semicolons": (rows().replace(",", ";"), "has no column amount, at, open, returned, shop; .*separated by ';'"),
    "tabs": (rows().replace(",", "\t"), r"separated by '\\t'"),
    "bars": (rows().replace(",", "|"), r"separated by '\|'"),
    "blank before a name": (rows().replace(",at", ", at", 1), "has no column at; it has .*' at'"),
    "column twice": (rows().replace("open", "shop", 1), "has no column open"),
    "declared column twice": (
        rows().replace("\n", ",north\n").replace("at,north", "at,shop", 1),
        "more than one .* shop",
    ),
    "only a header's start": ("shop,amo", "has no column amount, at, open, returned"),
    "empty": ("", "is empty"),
    "empty lines": ("\n\n\n", "is empty"),
    "a page": ("<html><body>502 Bad Gateway</body></html>\n", "has no column"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_does_not_fit_is_refused(name: str) -> None:
    """Missing and doubled columns are named beside those that are there, another separator is told."""
    delivery, said = HEADERS[name]
    assert re.search(rf"{WHERE} .*{said}", refused(delivery))


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", rows())
    return file.getvalue()


def _parquet() -> bytes:
    file = io.BytesIO()
    pd.read_csv(io.StringIO(rows())).to_parquet(file)
    return file.getvalue()


FORMATS: dict[str, tuple[Callable[[], bytes], str]] = {
    "Parquet": (_parquet, "Parquet"),
    "gzip": (lambda: gzip.compress(rows().encode()), "gzip"),
    "zip": (_zip, "a zip archive or an Excel workbook"),
    "old Excel": (lambda: b"\xd0\xcf\x11\xe0" + bytes(500), "an old Excel workbook"),
    "UTF-16": (lambda: rows().encode("utf-16"), "UTF-16"),
    "UTF-16 without its mark": (lambda: rows().encode("utf-16-be"), "not text in UTF-8: line 1 has a zero byte"),
    "a tail of zeros": (lambda: rows().encode() + bytes(100), "line 5 has a zero byte"),
    "Latin-1": (lambda: rows(shop="Café").encode("latin-1"), "line 4 has the byte 0xe9"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_other_formats_are_told_for_what_they_are(name: str) -> None:
    """What is no text in UTF-8 is named, whatever its file is called; no retry helps."""
    make, said = FORMATS[name]
    assert re.search(rf"{WHERE} is no readable CSV file: .*{said}", refused(make()))


ISO = {
    "2024-01-01T20:30:05Z": "2024-01-01T20:30:05Z",
    "2024-01-01T20:30:05.123Z": "2024-01-01T20:30:05.123Z",
    "2024-01-01T20:30:05.123456789Z": "2024-01-01T20:30:05.123456789Z",
    "2024-01-01T22:30:05+02:00": "2024-01-01T20:30:05Z",
    "2024-01-01 15:30:05-0500": "2024-01-01T20:30:05Z",
    "2024-01-01T20:30Z": "2024-01-01T20:30:00Z",
}


def test_iso_times_of_any_precision_are_read_as_written() -> None:
    """One column may mix precisions and offsets."""
    found = table(HEADER + "".join(GOOD.replace(AT, text) for text in ISO))
    assert found["at"].tolist() == [pd.Timestamp(moment) for moment in ISO.values()]
    assert str(found["at"].dtype) == "datetime64[ns, UTC]"


BERLIN = {"time_zone": "Europe/Berlin"}
SLASHES = {"time_format": "%d/%m/%Y %H:%M", "time_zone": "America/New_York"}
TIMES = {
    "no zone": ({}, "2024-01-01T20:30:00"),
    "slashes": ({}, "01/02/2024 08:00"),
    "a day alone": ({}, "2024-01-01"),
    "seconds since 1970": ({}, "1704067200"),
    "a word": ({}, "today"),
    "no month": ({}, "2024-13-01T00:00:00Z"),
    "no offset": ({}, "2024-01-01T00:00:00+25:00"),
    "beyond nanoseconds": ({}, "2500-01-01T00:00:00Z"),
    "an hour that comes twice": (BERLIN, "2024-10-27T02:30:00"),
    "an hour that never comes": (BERLIN, "2024-03-31T02:30:00"),
    "zone against none": (BERLIN, f"{AT} and more"),
    "not as declared": (SLASHES, "2024-01-01T20:30:00"),
    "month before day": (SLASHES, "12/31/2023 10:00"),
    "a null that strptime knows": (SLASHES, "NaT"),
    "now": (SLASHES, "now"),
}


@pytest.mark.parametrize("name", TIMES)
def test_a_time_that_is_not_certain_is_refused(name: str) -> None:
    """A time without a declared zone or format, and one that a clock shows twice or never, is refused by name."""
    declared, text = TIMES[name]
    good = "01/01/2024 12:00" if "time_format" in declared else "2024-01-01T12:00:00" if declared else AT
    said = refused(HEADER + GOOD.replace(AT, good) * 2 + GOOD.replace(AT, text), **declared)
    assert f"{WHERE}: record 3, column 'at': {text!r} is no timestamp; " in said
    assert re.search("time_zone or time_format|declares the format|Europe/Berlin", said)


LOCAL = {
    "a zone": (BERLIN, "2024-01-01T20:30:00", "2024-01-01T19:30:00Z"),
    "a day": (BERLIN, "2024-01-02", "2024-01-01T23:00:00Z"),
    "a zone beside one declared": (BERLIN, AT, AT),
    "a format": (SLASHES, "01/01/2024 15:30", "2024-01-01T20:30:00Z"),
    "a format that names the zone": (
        {"time_format": "%d %b %Y %H:%M:%S %z"}, "01 Jan 2024 20:30:00 +0200", "2024-01-01T18:30:00Z",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOCAL)
def test_a_declared_zone_and_format_are_used(name: str) -> None:
    """What the source declares makes a local time certain."""
    declared, text, moment = LOCAL[name]
    found = table(HEADER + GOOD.replace(AT, text), **declared)
    assert found["at"].tolist() == [pd.Timestamp(moment)]


UNFIT = {
    "unknown zone": ({"time_zone": "Europe/Berlino"}, "unknown time zone 'Europe/Berlino'"),
    "folder of zones": ({"time_zone": "Europe"}, "unknown time zone 'Europe'"),
    "path": ({"time_zone": "../etc/passwd"}, "unknown time zone"),
    "format without a zone": ({"time_format": "%d/%m/%Y"}, "has no zone .*time_zone"),
    "format that is a word": ({"time_format": "mixed", "time_zone": "UTC"}, "give strptime codes"),
    "zones by name": ({"time_format": "%Y-%m-%d %Z"}, "%z for zones"),
    "time of another type": ({"time": "shop"}, r"time column 'shop' is not among its timestamps, \['at'\]"),
    "share": ({"max_left_out": 10}, "less than or equal to 1"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_source_that_cannot_work_is_refused(name: str) -> None:
    """Zones, formats and shares are checked when the source is declared."""
    declared, said = UNFIT[name]
    with pytest.raises(ValidationError, match=said):
        Source(**{"name": "sales", "path": "sales.csv", "columns": COLUMNS, "time": "at", **declared})


def test_any_text_survives_the_way() -> None:
    """Random text of every alphabet, in quotes where it must be, comes back as it was; only empty text is missing."""
    letters, chance = "ab ,\"'\n\r\t;|#\\/é漢🙂\u200b\u00a0-NA0", random.Random(13)
    texts = ["".join(chance.choices(letters, k=chance.randrange(6))) for _ in range(400)]
    for end, quoting in (("\n", csv.QUOTE_NONNUMERIC), ("\r\n", csv.QUOTE_ALL)):
        file = io.StringIO(newline="")
        writer = csv.writer(file, lineterminator=end, quoting=quoting)
        writer.writerows([COLUMNS, *([text, 1, 1, 1, AT] for text in texts)])
        assert table(file.getvalue())["shop"].tolist() == [text or pd.NA for text in texts]


def test_damage_is_refused_or_read_never_a_crash() -> None:
    """Whatever is overwritten, cut out or put in, the answer is a table or a refusal that names the file."""
    chance, whole = random.Random(13), (rows(shop='"x') + GOOD * 20).encode()
    told = []
    for _ in range(2000):
        at, length = chance.randrange(len(whole)), chance.randrange(4)
        put = bytes(chance.choices(b'",\n\r0\x00\xff;NAZ+-.e ', k=chance.randrange(4)))
        try:
            table(whole[:at] + put + whole[at + length :])
        except SourceDataError as error:
            told.append(str(error))
    assert 100 < len(told) < 1900
    assert not [message for message in told if WHERE not in message]
