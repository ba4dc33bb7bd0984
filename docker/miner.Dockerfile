# The image of the miner. It needs no GPU: it neither scores nor runs models. Build it in the repository's root:
#   docker build -f docker/miner.Dockerfile -t soundsright-miner .
ARG BASE=python:3.12-slim
FROM ${BASE}
# NEEDS=miner is enough for a private competition. For a build without network, set PIP_OPTIONS, for example to
# "--no-index --find-links FOLDER".
ARG NEEDS=miner-chain
ARG PIP_OPTIONS=
WORKDIR /opt/soundsright
COPY pyproject.toml README.md LICENSE ./
COPY soundsright soundsright
COPY models/template models/template
COPY requirements requirements
# A miner scores nothing, so it needs far fewer packages than the whole of soundsright.
RUN pip install --no-cache-dir ${PIP_OPTIONS} -r "requirements/${NEEDS}.txt" \
    && pip install --no-cache-dir ${PIP_OPTIONS} --no-deps .
# Any user may write here: a named volume gets the mode of this folder.
RUN mkdir -m 1777 /state
ENV STATE_FOLDER=/state WALLET_PATH=/wallets HOME=/state PYTHONUNBUFFERED=1
VOLUME /state
USER 10001:10001
EXPOSE 6000 6001
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
  "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/livez' % os.environ.get('HEALTHCHECK_API_PORT', 6000), timeout=4)"]
ENTRYPOINT ["python", "-m", "soundsright"]
CMD ["miner"]
