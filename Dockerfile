# lesion_jax in a container, with the exact versions of constraints.txt. CPU, or an NVIDIA GPU by a build argument:
#
#   docker build -t lesion_jax .
#   docker build -t lesion_jax:cuda --build-arg CUDA=cuda12 .      (cuda12 or cuda13; CUDA itself comes with the wheels of JAX)
#   docker build -t lesion_jax:predict --build-arg EXTRAS=dicom .  (prediction and export alone)
#   docker build -t lesion_jax:serve --target serve .              (`lesion-jax serve`; compose.yaml builds and runs it)
#
# docs/deploy.md says how to run it, docs/serve.md the service.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY setup.py setup.cfg pyproject.toml README.md LICENSE ./
COPY lesion_jax lesion_jax
COPY configs configs
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS serve
ARG SERVED=serve,dicom
ARG CUDA=
COPY constraints.txt /constraints.txt
COPY --from=wheel /wheels /wheels
RUN extras="${SERVED}${CUDA:+,${CUDA}}" \
    && pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/lesion_jax-*.whl)[${extras#,}]" \
    && rm -r /wheels
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# All that is written: compiled programs here, and what lies in /tmp for as long as a photograph takes. The rest may be read-only.
ENV JAX_COMPILATION_CACHE_DIR=/cache PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
RUN useradd --no-create-home --uid 1000 lesion && mkdir --mode=0700 /cache && chown 1000:1000 /cache
USER 1000:1000
WORKDIR /tmp
EXPOSE 8000
# Ready is who has loaded the network and answered once.
HEALTHCHECK --interval=15s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
# Docker's own signal to end is the one that the service listens to.
STOPSIGNAL SIGTERM
ENTRYPOINT ["lesion-jax"]
CMD ["serve"]

# The last one is what is built where no target is named.
FROM python:${PYTHON}-slim
ARG EXTRAS=train,dicom
ARG CUDA=
COPY constraints.txt /constraints.txt
COPY --from=wheel /wheels /wheels
RUN extras="${EXTRAS}${CUDA:+,${CUDA}}" \
    && pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/lesion_jax-*.whl)[${extras#,}]" \
    && rm -r /wheels
# Asked of the runtime of NVIDIA's containers; without a GPU they mean nothing.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# A user without rights: what is mounted at /data has to be writable for user 1000, or for the one of `docker run --user`.
RUN useradd --create-home --uid 1000 lesion && mkdir /data && chown lesion /data
USER lesion
WORKDIR /data
ENTRYPOINT ["lesion-jax"]
CMD ["--help"]
