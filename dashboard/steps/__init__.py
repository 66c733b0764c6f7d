"""The steps of a task page, the same for every task: one module a step."""
