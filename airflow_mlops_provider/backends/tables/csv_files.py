"""Delivered CSV files, as text: Arrow parses them, and what is not strictly CSV is refused by record.

A record is counted from the first below the header. Empty lines are no records.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.source import Csv, Source

#: Bytes that are looked at in one go; no record may be longer.
BLOCK = 1 << 24
_FORMATS = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
    b"ARROW1": "Arrow",
    b"%PDF": "PDF",
}


def read_csv(file: Path, where: str, source: Source) -> Iterator[pa.Table]:
    """Yield the declared columns of a file, still text, a part of its records at a time; what is missing is null.

    :param where: the file, for messages.
    :raises SourceDataError: for what is no CSV, and for a record with another number of fields than the header has.
    """
    dialect, quoted = source.csv, _checked(file, where, source.csv)
    header = next(_records(file, where, dialect))
    places = _places(header, where, source)
    if quoted:  # Arrow takes a quote that is never closed, and text behind a closing one, for part of the value
        for _ in _records(file, where, dialect):
            pass
    try:
        yield from _parsed(file, [*map(str, range(len(header)))], places, source)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        for _ in _records(file, where, dialect):  # which record it is, this tells
            pass
        size = f"; no record may be longer than {BLOCK >> 20} MiB" if "straddl" in str(error) else ""
        raise SourceDataError(f"{where} is no readable CSV file: {str(error)[:200]}{size}; deliver it again") from None


def _parsed(file: Path, names: list[str], places: dict[str, int], source: Source) -> Iterator[pa.Table]:
    dialect = source.csv
    columns = [str(place) for place in places.values()]
    with arrow_csv.open_csv(
        file,
        read_options=arrow_csv.ReadOptions(column_names=names, block_size=BLOCK, encoding=dialect.encoding),
        parse_options=arrow_csv.ParseOptions(
            delimiter=dialect.delimiter, quote_char=dialect.quote or False, newlines_in_values=True
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=columns,
            null_values=["", *source.missing],
            strings_can_be_null=True,
        ),
    ) as batches:
        header = 1
        for batch in batches:
            table = pa.Table.from_batches([batch]).slice(header)
            header = max(0, header - len(batch))
            yield table.rename_columns([*places])


def _checked(file: Path, where: str, dialect: Csv) -> bool:
    """Say whether there are quotes in a file. :raises SourceDataError: if it is no text in the declared encoding."""
    decoder, quote = codecs.getincrementaldecoder(dialect.encoding)(), dialect.quote.encode()
    lines, quoted = 1, False
    with file.open("rb") as data:
        while block := data.read(BLOCK):
            at = block.find(b"\0") if dialect.encoding == "utf-8" else -1
            try:
                decoder.decode(block[: at if at >= 0 else None])
            except UnicodeDecodeError as error:
                at = max(error.start - (len(error.object) - len(block)), 0)
            if at >= 0:
                byte = f"the byte 0x{block[at]:02x}" if block[at] else "a zero byte"
                line = lines + block.count(b"\n", 0, at)
                raise _other_format(file, where, f"not text in {dialect.encoding.upper()}: line {line} has {byte}")
            lines, quoted = lines + block.count(b"\n"), quoted or (bool(quote) and quote in block)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _other_format(file, where, f"not text in {dialect.encoding.upper()}: it breaks off") from None
    return quoted


def _other_format(file: Path, where: str, why: str) -> SourceDataError:
    with file.open("rb") as data:
        first = data.read(16)
    kind = next((name for magic, name in _FORMATS.items() if first.startswith(magic)), why)
    return SourceDataError(
        f"{where} is no readable CSV file: it is {kind}; deliver it as plain text, or declare its format or encoding"
    )


def _records(file: Path, where: str, dialect: Csv) -> Iterator[list[str]]:
    """Yield the header and each record, all with as many fields. A quoted field may hold commas and line breaks."""
    csv.field_size_limit(max(csv.field_size_limit(), BLOCK))
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    number, width = 0, 0
    with file.open(encoding=encoding, newline="") as text:
        quoting = {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
        records = filter(None, csv.reader(text, strict=True, delimiter=dialect.delimiter, **quoting))
        try:
            for number, record in enumerate(records):
                width = width or len(record)
                if len(record) != width:
                    cut = len(record) < width and not _ended(file) and next(records, None) is None
                    raise SourceDataError(
                        f"{where}{' breaks off in the middle of its last line' if cut else ''}: record {number} has "
                        f"{len(record)} fields, and the header {width}; deliver it again, whole"
                    )
                yield record
        except csv.Error as error:
            raise SourceDataError(
                f"{where} is no readable CSV file: {f'record {number + 1}' if width else 'the header'}: "
                f"{str(error).replace('unexpected end of data', 'it breaks off inside quotes')}; deliver it again"
            ) from None
    if not width:
        raise SourceDataError(f"{where} is no readable CSV file: it is empty; deliver it again")


def _ended(file: Path) -> bool:
    with file.open("rb") as data:
        data.seek(-1, 2)
        return data.read() in (b"\n", b"\r")


def _places(header: list[str], where: str, source: Source) -> dict[str, int]:
    """Return where the declared columns are, by name."""
    missing = sorted(set(source.columns) - set(header))
    if missing:
        other = next((sign for sign in ",;\t|" if len(header) == 1 and sign in header[0]), None)
        looks = f"; its fields look separated by {other!r}: declare csv=Csv(delimiter={other!r})" if other else ""
        names = ", ".join(map(repr, header))[:500]
        raise SourceDataError(f"{where} has no column {', '.join(missing)}; it has {names}{looks}")
    twice = sorted(name for name in source.columns if header.count(name) > 1)
    if twice:
        raise SourceDataError(f"{where} has more than one column {', '.join(twice)}; deliver each once")
    return {name: header.index(name) for name in source.columns}
