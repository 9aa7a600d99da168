"""Turn a CSV file into the entries that a YAML number file would have.

Source: RFC 4180, and what spreadsheets save: a BOM, CRLF, rows of empty cells.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence as Ordered

from exporter.config.strict_yaml import Document, Mapping, Sequence, nearest, show

REQUIRED = ("phone_number", "cust_space_id")
COLUMNS = (*REQUIRED, "name")


def read_rows(document: Document, text: str, label_columns: Ordered[str]) -> None:
    """Fill `document` with an entry for each row; columns that have no meaning here are dropped."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    document.data = entries = Sequence(1)
    header: list[str] | None = None
    line = 1
    try:
        for row in rows:
            if any(row):
                if header is None:
                    header = [cell.strip() for cell in row]
                    if not _is_good(document, header, line, label_columns):
                        return
                elif len(row) != len(header):
                    what = f"the row has {len(row)} cells and the header {len(header)}"
                    document.fault((), f"{what}; complete it, or quote cells that hold a comma", line=line)
                else:
                    entries.put(len(entries), _entry(dict(zip(header, row, strict=True)), line, label_columns), line)
            line = rows.line_num + 1
    except csv.Error as error:
        document.fault((), f"is not valid CSV: {error}; check the quotes of this row", line=line)
    if header is None and not document.is_faulty:
        document.fault((), f"is empty; write a header row ({', '.join(COLUMNS)}) and a row for each number", line=1)
    elif not entries and not document.is_faulty:
        document.fault((), "has no rows below the header; write one for each number", line=1)


def _is_good(document: Document, header: list[str], line: int, label_columns: Ordered[str]) -> bool:
    """Whether the header has each column that is needed, once."""
    for column in (*REQUIRED, *label_columns):
        if column in header:
            continue
        if len(header) == 1 and any(sign in header[0] for sign in ";\t"):
            document.fault((), "the columns are not separated by commas; save it with commas", line=line)
            break
        what = f"has no column {show(column)}"
        if column in label_columns:
            what += ", which label_columns names"
        match = nearest(column, [name for name in header if name and name not in COLUMNS])
        cure = f"rename {show(match)} if that is meant" if match else "add it to the header"
        document.fault((), f"{what}; {cure}", line=line)
    for column in (*COLUMNS, *label_columns):
        if header.count(column) > 1:
            document.fault((), f"has the column {show(column)} twice; rename one", line=line)
    return not document.is_faulty


def _entry(cells: dict[str, str], line: int, label_columns: Ordered[str]) -> Mapping:
    entry = Mapping(line)
    for column in REQUIRED:
        entry.put(column, cells[column], line)
    if name := cells.get("name"):
        entry.put("name", name, line)
    labels = Mapping(line)
    for column in label_columns:
        if value := cells[column]:
            labels.put(column, value, line)
    if labels:
        entry.put("labels", labels, line)
    return entry
