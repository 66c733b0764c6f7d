"""Shown as every classification is."""

from dashboard.custom.classification import show

__all__ = ["show"]
