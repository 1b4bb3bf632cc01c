# One image for the reference chat, Locust's master and its workers: docker-compose.yml sets the command of each.
ARG PYTHON=python:3.11.16-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84

FROM ${PYTHON} AS build
WORKDIR /build
COPY requirements.lock ./
# The lock also has the development tools. Every wheel is downloaded with its hash checked; the install below can use
# only these files, and installs only what chatswarm itself depends on.
RUN pip wheel --no-cache-dir --disable-pip-version-check --require-hashes --wheel-dir /wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY backend ./backend
COPY loadtests ./loadtests
COPY dashboards ./dashboards
RUN python -m venv --without-pip /opt/chatswarm \
    && pip --python /opt/chatswarm/bin/python install --no-cache-dir --disable-pip-version-check \
        --no-index --find-links /wheels .

FROM ${PYTHON}
# The file system is read-only, so no byte code can be written. Logs must not wait in a buffer.
ENV PATH=/opt/chatswarm/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A named volume inherits the owner of the folder that it is mounted on.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent chatswarm \
    && install -d -o chatswarm -g chatswarm /var/lib/chatswarm /srv/chatswarm/runs
COPY --from=build /opt/chatswarm /opt/chatswarm
WORKDIR /srv/chatswarm
COPY loadtests/locustfile.py ./loadtests/locustfile.py
# As a number, so that an orchestrator can verify that it is not root.
USER 10001
CMD ["chatswarm", "--help"]
