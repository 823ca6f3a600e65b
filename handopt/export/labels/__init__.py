"""Results as labels: tables, and the files of the data sets that other training code reads."""

from handopt.export.labels.formats import FORMATS, export_labels, labels_format
from handopt.export.labels.records import LabelRecord, read_records

__all__ = ["FORMATS", "LabelRecord", "export_labels", "labels_format", "read_records"]
