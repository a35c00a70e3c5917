# The image of nats-k8s-oidc-callout; docs/IMAGE.md says how it is built, checked and pushed.
#
# The same inputs give the same files: the base by its digest (CI passes PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:…;
# a tag alone is for people), every wheel by its hash, our own wheel and all bytecode by SOURCE_DATE_EPOCH.
# No path and no name here depends on the architecture. arm64: untested, every pinned wheel exists for it.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# ---------------------------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS builder
ARG SOURCE_DATE_EPOCH=315532800
# A fixed hash seed: bytecode holds sets in their order. No bytecode but what image/layers.py writes.
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
WORKDIR /build

# Where pip goes through a mirror or a CA of your own: `--secret id=pip_conf,src=…` and `--secret id=pip_ca,src=…`.
COPY requirements/runtime.txt requirements/demo.txt requirements/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=pip_ca,target=/run/secrets/pip_ca \
    if [ -s /run/secrets/pip_ca ]; then export PIP_CERT=/run/secrets/pip_ca; fi \
    && python -m venv --without-pip /opt/nats-k8s-oidc-callout \
    && python -m pip --python /opt/nats-k8s-oidc-callout/bin/python install --quiet --require-hashes --no-deps \
        --only-binary :all: --no-compile --report dependencies.json -r requirements/runtime.txt \
    && sed -n '/^flit-core==/,/[^\\]$/p' requirements/demo.txt > requirements/build.txt \
    && python -m pip install --quiet --require-hashes --no-deps --only-binary :all: --no-compile \
        --target flit -r requirements/build.txt

COPY LICENSE PACKAGE.md pyproject.toml ./
COPY src src
RUN PYTHONPATH=flit python -m pip wheel --quiet --no-build-isolation --no-deps --no-index --wheel-dir dist . \
    && python -m pip --python /opt/nats-k8s-oidc-callout/bin/python install --quiet --no-deps --no-index --no-compile \
        --report own.json dist/*.whl

COPY image image
RUN python -m image.layers --environment /opt/nats-k8s-oidc-callout --to /layers \
        --report dependencies.json --report own.json --license LICENSE

# ---------------------------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG SOURCE_DATE_EPOCH=315532800
ARG CREATED=1980-01-01T00:00:00Z
ARG VERSION=0.1.0
ARG REVISION=unknown

# pip stays out, and with it ensurepip, which would bring it back; nothing may change who it runs as.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
    && find / -xdev -type f -perm /6000 -delete \
    && for folder in /usr/local/lib/python3*/site-packages /usr/local/lib/python3* /usr/local/bin /usr/bin /usr/sbin; do \
        touch -d "@${SOURCE_DATE_EPOCH}" "$folder"; done

COPY --from=builder /layers/dependencies/ /
COPY --from=builder /layers/application/ /

ENV PATH=/opt/nats-k8s-oidc-callout/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1
# A number, since Kubernetes' runAsNonRoot cannot look a name up.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
# No HEALTHCHECK: Kubernetes ignores it and has /livez and /readyz, and one would mean a new Python every few seconds.
ENTRYPOINT ["nats-k8s-oidc-callout"]
CMD []
LABEL org.opencontainers.image.title="nats-k8s-oidc-callout" \
      org.opencontainers.image.description="NATS logins for Kubernetes ServiceAccounts, by auth callout" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
