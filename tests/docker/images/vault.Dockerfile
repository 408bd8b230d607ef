# What compose.yaml asks of a Vault image, from the binary that the tests have.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN useradd --system --no-create-home vault && mkdir -p /vault/file && chown vault:vault /vault/file
COPY vault /bin/vault
USER vault
VOLUME /vault/file
