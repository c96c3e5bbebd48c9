# Stage 1: an environment of exactly what the lock file names, and the program in it.
FROM docker.io/library/python:3.13-slim AS build

# With it the byte code holds hashes of the sources in place of times, so that two builds give the same files.
ARG SOURCE_DATE_EPOCH
WORKDIR /src
COPY requirements.lock ./
# The build's own pip fills the environment, so that the environment holds none. Wheels only: nothing is
# compiled, and a platform without wheels fails here and not in production.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python --disable-pip-version-check install \
        --no-cache-dir --require-hashes --only-binary=:all: --requirement requirements.lock
# Copied, not built: a build would fetch its tools without hashes. Byte code comes with it, since the
# program's files cannot be written later on.
COPY exporter ./exporter
RUN packages="$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && cp -r exporter "$packages/" \
    && chmod -R a+rX "$packages/exporter" \
    && /opt/venv/bin/python -m compileall -q "$packages/exporter" \
    && printf '#!/opt/venv/bin/python\nimport sys\nfrom exporter.__main__ import main\nsys.exit(main())\n' > /opt/venv/bin/twilio-email-exporter \
    && chmod 755 /opt/venv/bin/twilio-email-exporter \
    && /opt/venv/bin/twilio-email-exporter --version


# Stage 2: what runs.
FROM docker.io/library/python:3.13-slim

# From `make image`, or the release.
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="twilio-email-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Twilio Email Operations" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"

# A volume mounted at /state gets its owner from here. Nothing is installed any more.
RUN install --directory --owner=65532 --group=65532 /state \
    && python -c 'import ensurepip, shutil; shutil.rmtree(ensurepip.__path__[0])' \
    && python -m pip uninstall --yes --root-user-action=ignore pip

COPY LICENSE /licenses/LICENSE
COPY --from=build /opt/venv /opt/venv

# SAFEPATH: modules come from the environment only, never from the directory the program is started in.
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1

# A number, so that Kubernetes' runAsNonRoot can check it.
USER 65532:65532
EXPOSE 10587
STOPSIGNAL SIGTERM

# Finds the exporter by the same variables and file.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/opt/venv/bin/twilio-email-exporter", "healthcheck"]

ENTRYPOINT ["/opt/venv/bin/twilio-email-exporter"]
