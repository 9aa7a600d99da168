# The exporter's container image.
#
#   docker build --tag cams-exporter --build-arg REVISION="$(git rev-parse HEAD)" .
#
# It builds for every platform of the base image and the wheels (docker buildx build --platform linux/amd64,linux/arm64
# ...).  Packages from PyPI are pinned by hash.  The base image is pinned by version only.  To pin it exactly, add its
# digest: --build-arg PYTHON_IMAGE=python:3.13.13-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.13.13-slim-trixie

# hadolint ignore=DL3006 -- the tag stands in PYTHON_IMAGE
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements-build.txt requirements.txt ./
# Every downloaded file is pinned by hash, build tools too.  Only wheels are used, so no architecture needs a compiler.  The
# exception is alibabacloud-tea: it is published as source only, and is pure Python.
RUN python3 -m venv /opt/tools && \
    /opt/tools/bin/pip install --require-hashes --only-binary=:all: --requirement=requirements-build.txt && \
    /opt/tools/bin/pip wheel --require-hashes --only-binary=:all: --no-binary=alibabacloud-tea --no-build-isolation \
        --use-pep517 --wheel-dir=/wheels --requirement=requirements.txt
COPY LICENSE README.md pyproject.toml config.example.yml web-config.example.yml ./
COPY deploy/systemd deploy/systemd
COPY grafana grafana
COPY prometheus prometheus
COPY exporter exporter
RUN /opt/tools/bin/pip wheel --no-build-isolation --no-deps --no-index --wheel-dir=/wheels . && \
    python3 -m venv --without-pip /opt/cams-exporter && \
    /opt/tools/bin/pip --python=/opt/cams-exporter/bin/python3 install --no-deps --no-index /wheels/*.whl

# hadolint ignore=DL3006 -- as above
FROM ${PYTHON_IMAGE}
# The base image's pip is not needed at run time, and security scanners report its faults.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* \
        "$(python3 -c 'import ensurepip, os; print(os.path.dirname(ensurepip.__file__))')" && \
    install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/cams-exporter
COPY --from=build /opt/cams-exporter /opt/cams-exporter
# PYTHONSAFEPATH: a module next to the configuration is never imported.
# MALLOC_...: two heaps for all threads; blocks of 1 MiB or more go back to the system when they are freed.  Without these,
# up to 60 MiB stay reserved after many large scrapes that nobody reads.
ENV PATH=/opt/cams-exporter/bin:$PATH \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/cams-exporter
# So the default --config.file=config.yml is /etc/cams-exporter/config.yml.
WORKDIR /etc/cams-exporter
# A number, because Kubernetes' runAsNonRoot cannot check a name.
USER 65532:65532
EXPOSE 10106
# SIGTERM and SIGINT both stop the exporter.  The first process of a container gets only signals that it handles, and
# Python handles SIGINT from the start.  With SIGTERM a stop in the first second would wait for SIGKILL.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["python3", "-m", "exporter.cli.healthcheck"]
ENTRYPOINT ["cams_exporter"]

ARG VERSION=0.2.0
ARG REVISION=unknown
ARG CREATED=
ARG SOURCE=https://github.com/cams-exporter/cams-exporter
ENV CAMS_EXPORTER_REVISION=${REVISION}
LABEL org.opencontainers.image.title="cams-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the verification status of WhatsApp phone numbers on Alibaba Cloud (CAMS)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
