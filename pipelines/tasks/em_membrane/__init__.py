"""Membranes in EM sections (ISBI 2012): from a TIFF stack to a scored overlay."""

from pipelines.tasks.em_membrane.task import EmMembrane

TASK = EmMembrane()
