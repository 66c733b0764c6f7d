"""Pipelines for microscopy image models: data, training, prediction, scores; no dashboard code."""
