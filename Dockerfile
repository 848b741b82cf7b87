# lesion_jax in a container, with the exact versions of constraints.txt. CPU, or an NVIDIA GPU by a build argument:
#
#   docker build -t lesion_jax .
#   docker build -t lesion_jax:cuda --build-arg CUDA=cuda12 .      (cuda12 or cuda13; CUDA itself comes with the wheels of JAX)
#   docker build -t lesion_jax:predict --build-arg EXTRAS=dicom .  (prediction and export alone)
#
# docs/deploy.md says how to run it.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY setup.py setup.cfg pyproject.toml README.md LICENSE ./
COPY lesion_jax lesion_jax
COPY configs configs
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

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
