"""One table of everything."""

import re

from reports.comparison import labels_summary
from reports.everything import PARTS, all_report
from reports.throughput_2402_17764 import throughput_rows


def test_all_reports_are_in_one_table_and_the_summary_counts_their_labels() -> None:
    steps: list[int] = []
    report = all_report(lambda done, of: steps.append(of - done))
    assert steps == list(reversed(range(len(PARTS))))
    assert len(report.rows) == len(report.cells) == sum(report.inputs["rows"].values())
    labels = [record["label"] for record in report.rows if record["published"] is not None]
    for label in ("derived", "predicted", "fitted", "not reproducible"):
        assert re.search(rf"\b{labels.count(label)} {label}", report.summary), (label, report.summary)
    items = [record["item"] for record in report.rows]
    assert all(row.item in items for row in throughput_rows())
    assert labels_summary([]) not in report.summary
