"""models/text/tables.py, numbers.py: tables as the world writes them give the right numbers or an error."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.classical.linear_regression import load_csv
from models.errors import BadInput
from models.text.numbers import number
from models.text.tables import parse_table

NAN = float("nan")


def columns(text, **options):
    """The columns of numbers of a table; None where one is text."""
    table = parse_table("t.csv", text, **options)
    return {name: None if (x := table.numbers(name)) is None else x.tolist() for name in table.names}


# ------------------------------------------------------------------------------------------------------------ one cell

CELLS = {  # cell: (read with a decimal point, with a decimal comma)
    "12": (12, 12),
    "1.5": (1.5, None),
    "1,5": (None, 1.5),
    "1.234": (1.234, 1234),
    "1,234": (1234, 1.234),
    "0,123": (None, 0.123),
    "1234.567": (1234.567, None),
    "1.234e5": (123400, None),
    "1,5e-3": (None, 0.0015),
    "1,234,567.5": (1234567.5, None),
    "1.234.567": (None, 1234567),
    "1.299,99": (None, 1299.99),
    "12,34,567": (1234567, None),
    "1 234,5": (None, 1234.5),
    "1\u202f234.5": (1234.5, None),
    "1\u2009234\u2009567": (1234567, 1234567),
    "1’234.5": (1234.5, None),
    "\u22125": (-5, -5),
    "\u20131,5": (None, -1.5),
    "1e\u22123": (0.001, 0.001),
    "-$5": (-5, -5),
    "$-1,234.50": (-1234.5, None),
    "-1.234,50\u00a0€": (None, -1234.5),
    "5 %": (5, 5),
    "n/A": (NAN, NAN),
    "": (NAN, NAN),
    **dict.fromkeys("5-|(5)|1_000|5 5|1 2345|1,234 567|1.2.3|1,,5|$|$5%|12-5|0x5".split("|"), (None, None)),  # noqa: SIM905
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_under_each_mark(cell):
    """A number, missing, or neither."""
    for mark, right in zip(".,", CELLS[cell], strict=True):
        value = number(cell, mark)
        assert value == right or (right != right and value != value), mark


# ----------------------------------------------------------------------------------------------------- the decimal mark

GERMAN = "land;faelle;je100k\nA;2.155;19,47\nB;12.946;21,3\nC;6;0,5\nD;546;3,2\n"
DECIDED = {
    "another column has the comma": (GERMAN, {"faelle": [2155, 12946, 6, 546], "je100k": [19.47, 21.3, 0.5, 3.2]}),
    "another column has the point": ("a;b\n1,234;0.5\n2,345;1.5\n", {"a": [1234, 2345], "b": [0.5, 1.5]}),
    "a later row has it": ("a\tb\n1,234\t1\n2,5\t2\n", {"a": [1.234, 2.5]}),
    "spaces group thousands": ("a;b\n1.234;1 000\n2.345;12 000\n", {"a": [1.234, 2.345], "b": [1000, 12000]}),
    "no-break spaces do": ("a;b\n1,234;1\u00a0000\n2,345;2\n", {"a": [1.234, 2.345], "b": [1000, 2]}),
    "a table cut at commas": ("a,b\n1.234,1\n2.345,2\n", {"a": [1.234, 2.345]}),
    "two groups": ("a;b\n1.234;1.234.567\n2.345;2\n", {"a": [1234, 2345], "b": [1234567, 2]}),
    "quoted in a table cut at commas": ('a,b\n"1.299,99",1.000\n"5,00",2\n', {"a": [1299.99, 5], "b": [1000, 2]}),
    "of a text nothing follows": ("a;v\n1,5;1.2.3\n2,5;1.3\n3,5;x1.3\n", {"a": [1.5, 2.5, 3.5], "v": None}),
    "minus signs": ("x;z\n\u22121,5;1\n2,5;2\n\u22123,5;3\n", {"x": [-1.5, 2.5, -3.5]}),
    "nothing is doubtful": ("a;b\n1;2000\n3;4\n", {"a": [1, 3], "b": [2000, 4]}),
}


@pytest.mark.parametrize("name", DECIDED)
def test_the_file_decides(name):
    """Not the column."""
    text, right = DECIDED[name]
    found = columns(text)
    assert {key: found[key] for key in right} == right


def test_the_user_decides():
    """Where nothing in the file does; the error says how."""
    doubtful = "a;b\nA;2.155\nB;12.946\nC;6\n"
    with pytest.raises(BadInput) as caught:
        columns(doubtful)
    said = 't.csv:2: column "b": "2.155" may be 2.155 or 2155, and no other number of the file tells; say it with --decimal'
    assert str(caught.value) == f"{said} point (2.155) or --decimal comma (2155)"
    assert columns(doubtful, decimal=".")["b"] == [2.155, 12.946, 6]
    assert columns(doubtful, decimal=",")["b"] == [2155, 12946, 6]
    both = "a;b\n1,5;x\n2.5;y\n3,5;z\n"
    with pytest.raises(
        BadInput, match=r't.csv:2: column "a": "1,5" has a decimal comma, but t.csv:3: column "a": "2.5" a decimal'
    ):
        columns(both)
    with pytest.raises(BadInput, match=r't.csv:3: column "a": "2.5" is not a number where a comma is the decimal mark \(--deci'):
        columns(both, decimal=",")
    for text in ("a;b\n1,500;2\n2;3\n3;4\n", 'a,b\n"1,234",1\n2,2\n', "a|b\n1.234|1,234\n"):
        with pytest.raises(BadInput, match=r't.csv:2: column ".": ".*" may be'):
            columns(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x;z\n1,5;1\n2,5x;2\n3,5;3\n", 't.csv:3: column "x": "2,5x" is not a number; mend it'),
        ("x;z\n1.5;1\n2.5x;2\n3.5;3\n", 't.csv:3: column "x": "2.5x" is not a number; mend it'),
        ("x;z\n5 %;1\n0,07;2\n3 %;3\n", 't.csv:3: column "x": "0,07" and "5 %", line 2, differ in their unit'),
        ("x;z\n$5;1\n7 €;2\n$3;3\n", 't.csv:3: column "x": "7 €" and "$5", line 2, differ in their unit'),
    ],
)
def test_a_slip_among_numbers(text, says):
    """It is an error with its line, whatever the decimal mark; the column is not left out as text."""
    with pytest.raises(BadInput) as caught:
        columns(text)
    assert str(caught.value).startswith(says)


# -------------------------------------------------------------------------------------------------------- the delimiter

CUT = {
    "a comma in the header": ("height, cm;price\n1,5;2,5\n2,5;3,5\n", ";", ["height, cm", "price"]),
    "and a comma in every row": ("height, cm;price\n1,5;2\n2,5;3\n", ";", ["height, cm", "price"]),
    "semicolons in the cells": ("a;b,n\nx;y,1\nz;w,2\n", ",", ["a;b", "n"]),
    "a line that says so": ("sep=;\r\na, b;c\r\n1,5;2\r\n", ";", ["a, b", "c"]),
    "a quoted line that says so": ('\n"sep=|"\na;b|c\n1;5|2\n'.lstrip(), "|", ["a;b", "c"]),
    "a tab": ("a, b\tc\n1,5\t2\n", "\t", ["a, b", "c"]),
    "a broken line": ("a, b;c\n1,5;2\n1,5;2;3\n3,5;2,1\n2,5;2,1\n", ";", None),
    "quotes": ('"a, b";"c"\n"1,5";"2"\n', ";", ["a, b", "c"]),
}


@pytest.mark.parametrize("name", CUT)
def test_the_delimiter(name):
    """Found from all lines."""
    text, delimiter, names = CUT[name]
    if names is None:
        with pytest.raises(BadInput, match=r't.csv:3: 3 fields, but the header names 2 columns \(cut at ";"; --delimiter says'):
            parse_table("t.csv", text)
        return
    table = parse_table("t.csv", text)
    assert (table.delimiter, table.names) == (delimiter, names)
    assert table.lines[0] == text.count("\n", 0, text.index("\n" + text.splitlines()[2 if "sep" in text else 1])) + 2


def test_two_delimiters_that_fit_alike():
    """The user says which."""
    text = "text, raw;label\ngood, really;pos\nbad, awful;neg\n"
    with pytest.raises(BadInput, match=r'the lines can be cut at "," and at ";", each time into as many fields; say which with'):
        parse_table("t.csv", text)
    assert parse_table("t.csv", text, ";").names == ["text, raw", "label"]
    assert columns("a  b\n1   2\n 3 4 \n", delimiter=" ") == {"a": [1, 3], "b": [2, 4]}


def test_quotes_and_another_delimiter():
    """Of R's tables, cut at spaces; the error doubts the comma."""
    text = '"a" "b"\n"1" 5\n'
    with pytest.raises(
        BadInput, match=r't.csv:1: a field goes on after its closing quote; .*, or fields do not end at "," \(--del'
    ):
        parse_table("t.csv", text)
    assert columns(text, delimiter=" ") == {"a": [1], "b": [5]}


def test_columns_that_are_not_there():
    """The error says how the header was cut, and which columns of text could have been used."""
    with pytest.raises(
        BadInput, match=r'there is no column "y"; its columns are: x y \(cut at ","; --delimiter space cuts at spaces'
    ):
        parse_table("t.csv", "x y\n1 2\n").index("y")
    with pytest.raises(BadInput, match=r'no column "z"; its columns are: x, y \(cut at ";"; --delimiter says otherwise\)'):
        parse_table("t.csv", "x;y\n1;2\n").index("z")
    with pytest.raises(
        BadInput, match=r'nothing to predict it from; left out 1 text column: a \(write its "\(1,5\)" and the like'
    ):
        load_csv(parse_table("t.csv", "a;y\n(1,5);2\n(2,5);1\n5;3\n"), "y")


def test_a_table_without_a_header():
    """Its first row is not taken for names."""
    with pytest.raises(BadInput, match=r"t.csv:1: the first line holds numbers alone and names no columns; --columns NAME,NAME"):
        columns("1,5;2\n2,5;3\n")
    assert columns("1,5;2\n2,5;3\n", names=["a", "b"]) == {"a": [1.5, 2.5], "b": [2, 3]}
    assert columns("2019;2020\n1,5;2\n", names=["2019", "2020"]) == {"2019": [1.5], "2020": [2]}


# -------------------------------------------------------------------------------------------------- tables of every kind


@st.composite
def tables(draw):
    """(text of the file, the numbers in it, the decimal mark)"""
    decimal, delimiter = draw(st.sampled_from(".,")), draw(st.sampled_from(",;\t|"))
    thousands = draw(st.sampled_from(["", "", {".": ",", ",": "."}[decimal], " ", "\u00a0", "\u2009", "\u202f", "'", "’"]))
    minus, unit = draw(st.sampled_from(["-", "\u2212"])), draw(st.sampled_from(["{}"] * 4 + ["${}", "{} €", "{}%", "{} %"]))
    rows, right = draw(st.integers(1, 6)), {}
    names = draw(
        st.lists(st.sampled_from(["a", "b", "height, cm", "c;d", "x y", "n|m", "2020", "é"]), min_size=2, max_size=4, unique=True)
    )
    cells = {}
    for name in names:
        places, size = draw(st.integers(0, 4)), draw(st.sampled_from([1, 10, 1000, 10**7]))
        scale = 10**places
        right[name], cells[name] = [], []
        for _ in range(rows):
            blank = draw(st.sampled_from([None] * 6 + ["", "NA", "n/a", "null"]))
            whole, part = divmod(draw(st.integers(0, size * scale)), scale)
            sign = draw(st.sampled_from(["", minus]))
            digits = f"{whole:,}".replace(",", thousands) + (f"{decimal}{part:0{places}d}" if places else "")
            value = (whole + part / scale) * (-1 if sign else 1)
            if not thousands and unit == "{}" and draw(st.booleans()):
                digits, value = f"{digits}e{minus}2", value / 100
            right[name].append(NAN if blank is not None else value)
            cells[name].append(unit.format(sign + digits) if blank is None else blank)
    if draw(st.booleans()):
        names, cells["word"], right["word"] = (
            [*names, "word"],
            [draw(st.sampled_from(["x", "y, z", "q; r", 'a "b"'])) for _ in range(rows)],
            None,
        )
    out = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerows([names, *zip(*(cells[name] for name in names), strict=True)])
    commas = any("," in cell for name, column in cells.items() if name != "word" for cell in column)
    clear = delimiter != "," or decimal == "." or commas  # else its thousands' points are taken for decimal points
    return draw(st.sampled_from(["", f"sep={delimiter}\n"])) + out.getvalue(), right, decimal if clear else ""


@settings(max_examples=300, deadline=None)
@given(tables())
def test_right_numbers_or_an_error(table):
    """Never a wrong number, never a column left out; and with --decimal there is no error that asks for it."""
    text, right, decimal = table
    for options in [{}] * bool(decimal) + [{"decimal": decimal}] * bool(decimal):
        try:
            found = columns(text, **options)
        except BadInput as error:
            said = str(error)
            assert "--delimiter" in said or ("--decimal" in said and not options), said
            continue
        for name, values in right.items():
            if name not in found:
                assert "sep=" not in text, "another delimiter was found than the one it was written with"
            elif values is not None and not np.isnan(values).all():
                np.testing.assert_allclose(found[name], values, rtol=1e-12)
