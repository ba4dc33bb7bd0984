# The image of the coordinator of the executor. It runs no model and needs no GPU. Build it in the repository's root:
#   docker build -f docker/coordinator.Dockerfile -t soundsright-coordinator .
ARG BASE=python:3.12-slim
FROM ${BASE}
# For a build without network, set PIP_OPTIONS, for example to "--no-index --find-links FOLDER".
ARG EXTRAS=chain
ARG PIP_OPTIONS=
WORKDIR /opt/soundsright
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY soundsright soundsright
COPY models/template models/template
# Install in place, because the package looks for the recordings in the folder above it.
RUN pip install --no-cache-dir ${PIP_OPTIONS} -e ".${EXTRAS:+[${EXTRAS}]}"
# Of the recordings it reads only the manifest, for its digest, unless SOUNDSRIGHT_CORPUS names others.
COPY datasets/manifest.jsonl datasets/manifest.jsonl
# Any user may write here: a named volume gets the mode of this folder.
RUN mkdir -m 1777 /state
ENV STATE_FOLDER=/state WALLET_PATH=/wallets HOME=/state PYTHONUNBUFFERED=1
VOLUME /state
USER 10001:10001
EXPOSE 6000 9001
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
  "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/livez' % os.environ.get('HEALTHCHECK_API_PORT', 6000), timeout=4)"]
ENTRYPOINT ["python", "-m", "soundsright"]
CMD ["executor", "coordinate"]
