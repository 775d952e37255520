# Build the wheel and a virtual environment, then copy only that environment into a slim image.
FROM python:3.11-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/gradwatch
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY client client
COPY service service
COPY migrations migrations
RUN /opt/gradwatch/bin/pip install -c constraints.txt '.[service]'

FROM python:3.11-slim
LABEL org.opencontainers.image.title="gradwatch" \
      org.opencontainers.image.description="Training-health monitor: service and command line" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --create-home --home-dir /data gradwatch
COPY --from=build /opt/gradwatch /opt/gradwatch
ENV PATH=/opt/gradwatch/bin:$PATH PYTHONUNBUFFERED=1
USER gradwatch
WORKDIR /data
VOLUME /data
EXPOSE 8321
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8321/readyz', timeout=2).raise_for_status()"]
# Everybody needs a key: docker exec CONTAINER gradwatch keys create --project NAME --scope admin
ENV GRADWATCH_HOST=0.0.0.0
ENTRYPOINT ["gradwatch"]
CMD ["serve"]
