# The checks in short. `make check` passes on every commit.
.PHONY: check lint types test browser data benchmarks

check: lint types test

lint:
	ruff format --check .
	ruff check .

types:
	mypy

test:
	pytest

# The one browser is Debian's Chromium; a missing one is a failure here, not a skipped test.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
		{ echo "the browser tests need chromium: apt-get install chromium" >&2; exit 1; }
	pytest -m browser tests/browser

data:
	pytest -m data

benchmarks:
	pytest -s -m "" --benchmark-enable --override-ini addopts=-q tests/benchmarks
