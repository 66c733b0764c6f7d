"""One folder a task, found by `pipelines.registry`; nothing lists them."""
