# The image, for builders that have a registry; `make image` makes the same one without any. Both run .ci/build-release.
#
#   docker build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) --output type=oci,dest=datagate.tar,rewrite-timestamp=true .
#
# RUST_IMAGE takes a digest too: rust:1.95.0-slim-trixie@sha256:...
ARG RUST_IMAGE=rust:1.95.0-slim-trixie

FROM ${RUST_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
ARG CARGO_AUDITABLE=cargo-auditable@0.7.7
RUN cargo install --locked "${CARGO_AUDITABLE}"
WORKDIR /datagate
COPY . .
RUN cargo fetch --locked \
    && install -D -m 0755 "$(.ci/build-release)" /image/datagate \
    && .ci/third-party-licenses > /image/licenses.txt \
    && install -m 0644 LICENSE /image/LICENSE \
    && find /image -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM scratch
COPY --from=build /image/ /
USER 65532:65532
EXPOSE 9443 8080
ENTRYPOINT ["/datagate"]
CMD ["serve"]
