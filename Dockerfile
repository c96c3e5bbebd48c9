# Stage 1: an environment with the locked dependencies and the program.
FROM docker.io/library/python:3.13-slim AS build

# If set, byte code is validated by source hashes instead of timestamps, which makes builds reproducible.
ARG SOURCE_DATE_EPOCH
WORKDIR /src
COPY requirements.lock ./
# The build's pip installs into the environment, which therefore contains no pip. Wheels only: nothing is
# compiled, and a platform without wheels fails here and not in production.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python --disable-pip-version-check install \
        --no-cache-dir --require-hashes --only-binary=:all: --requirement requirements.lock
# Copied, not built, because a build would download its tools without hashes. The byte code is compiled here
# because the files are read-only at run time.
COPY exporter ./exporter
RUN packages="$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && cp -r exporter "$packages/" \
    && chmod -R a+rX "$packages/exporter" \
    && /opt/venv/bin/python -m compileall -q "$packages/exporter" \
    && printf '#!/opt/venv/bin/python\nimport sys\nfrom exporter.__main__ import main\nsys.exit(main())\n' > /opt/venv/bin/twilio-email-exporter \
    && chmod 755 /opt/venv/bin/twilio-email-exporter \
    && /opt/venv/bin/twilio-email-exporter --version


# Stage 2: the runtime image.
FROM docker.io/library/python:3.13-slim

# Set by `make image` and by the release workflow.
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="twilio-email-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Twilio Email Operations" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"

# A volume mounted at /state inherits this owner. OpenShift runs images with an arbitrary user of group 0, which
# therefore may write too. Nothing is installed after this, so pip is removed.
RUN install --directory --owner=65532 --group=0 --mode=0770 /state \
    && python -c 'import ensurepip, shutil; shutil.rmtree(ensurepip.__path__[0])' \
    && python -m pip uninstall --yes --root-user-action=ignore pip

COPY LICENSE /licenses/LICENSE
COPY --from=build /opt/venv /opt/venv

# SAFEPATH: modules are imported from the environment only, never from the working directory.
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1

# Numeric, because Kubernetes' runAsNonRoot cannot check user names.
USER 65532:65532
EXPOSE 10587
STOPSIGNAL SIGTERM

# Reads the exporter's address from the same variables and settings file as the exporter.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/opt/venv/bin/twilio-email-exporter", "healthcheck"]

ENTRYPOINT ["/opt/venv/bin/twilio-email-exporter"]
