"""The files of MMBench and MMBench-CN: the table that questions come in, and the spreadsheet that answers go out in.

Source: open-compass/MMBench; LLaVA's convert_mmbench_for_submission.py.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sharegpt4v.evaluation.base import Answer, Submission
from sharegpt4v.evaluation.benchmarks.tsv_file import is_missing, read_tsv
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import answer_rows, question_number

LETTERS = "ABCD"
LEFT_OUT = ("hint", "category", "source", "image", "comment", "l2-category")
PREDICTION_AT = 6  # its column in the spreadsheet, from 0


def spreadsheet(path: Path, answers: Sequence[Answer]) -> Submission:
    """Return the .xlsx for the evaluation server: the rows of the TSV, each with its prediction, if it has one.

    Equal answers give equal bytes. All cells but the index are texts, also those that begin with "=".
    """
    import xlsxwriter

    rows = list(read_tsv(path, (*LETTERS, *LEFT_OUT)))
    joined = join((index for index, _ in rows), answer_rows(answers), question_number)
    content = io.BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True})
    book.set_properties({"created": datetime(2000, 1, 1)})
    sheet = book.add_worksheet()
    for number, (index, row) in enumerate(rows, start=1):
        cells = {name: "" if is_missing(cell) else cell for name, cell in row.items() if name not in LEFT_OUT}
        names, values = list(cells), list(cells.values())
        names.insert(PREDICTION_AT, "prediction")
        values.insert(PREDICTION_AT, joined.text(index) or "")
        if number == 1:
            sheet.write_row(0, 0, names)
        sheet.write_number(number, 0, index)
        for place, value in enumerate(values[1:], start=1):
            if value:
                sheet.write_string(number, place, value)
    book.close()
    return Submission(content.getvalue(), joined.completeness)
